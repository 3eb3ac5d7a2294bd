//! Making an image: GPT with one ext4 partition that holds real files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use super::{BLOCK, files, row};
use crate::terminal::{Progress, size};

/// Where the partition begins; it ends as far before the end, where the second table lies.
pub(super) const PARTITION: u64 = 1 << 20;
/// A smaller image would be all journal and tables.
pub(crate) const SMALLEST_MIB: u64 = 32;

/// Where e2fsprogs' tools lie when the user's PATH has no folders for administrators.
const PLACES: [&str; 3] = ["", "/usr/sbin/", "/sbin/"];

/// Makes an image of `mib` MiB at `path`; `scratch` is a folder for the time of the making.
pub(crate) fn make(path: &Path, mib: u64, scratch: &Path) -> Result<()> {
    ensure!(mib >= SMALLEST_MIB, "an image must have at least {SMALLEST_MIB} MiB");
    let len = mib << 20;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
    let file = file.with_context(|| format!("cannot make {}", path.display()))?;
    file.set_len(len)?;
    let content = tempfile::Builder::new().prefix("content-").tempdir_in(scratch)?;
    let inodes = fill(content.path(), len)?;
    file_system(path, content.path(), (len - 2 * PARTITION) / BLOCK, inodes)?;
    partition(file, len)?;
    content.close().context("cannot remove the scratch folder")
}

/// Fills the future file system to about 60 %; returns how many inodes it needs.
fn fill(folder: &Path, len: u64) -> Result<u64> {
    let database = len / 25;
    let budget = len / 100 * 56;
    let progress = Progress::bytes("collecting real files", budget + database);
    let copied = files::copy(folder, budget, |bytes| progress.add(bytes))
        .with_context(|| format!("cannot fill {}", folder.display()))?;
    write_database(&folder.join("srv"), database / BLOCK)?;
    progress.done(format_args!(
        "{} of this machine's files, {}, and a database of {}",
        copied.entries / 2,
        size(copied.bytes),
        size(database)
    ));
    // Each file was counted with a folder of its own; the rest is for growth.
    Ok(copied.entries + 1024)
}

/// The file whose rows the demo changes between its backups.
fn write_database(folder: &Path, rows: u64) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = BufWriter::new(File::create(folder.join("accounts.db"))?);
    for number in 0..rows {
        file.write_all(&row(number, 0))?;
    }
    file.flush()
}

fn file_system(image: &Path, content: &Path, blocks: u64, inodes: u64) -> Result<()> {
    let mut arguments: Vec<String> =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-L", "tresor-demo"].map(str::to_owned).to_vec();
    let options = format!("offset={PARTITION},root_owner=0:0,lazy_itable_init=0");
    arguments.extend(["-N".to_owned(), inodes.to_string(), "-E".to_owned(), options]);
    let (content, image) = (path_text(content)?, path_text(image)?);
    arguments.extend(["-d".to_owned(), content, image, blocks.to_string()]);
    let Some(output) = tool("mke2fs", &arguments)? else {
        bail!(
            "mke2fs is not there: install the package e2fsprogs (apt-get install e2fsprogs), \
             or give an image of your own with --image"
        );
    };
    ensure!(
        output.status.success(),
        "mke2fs failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Checks the file system of an image that [`make`] made; `None` when e2fsck is not there.
pub(crate) fn check(image: &Path) -> Result<Option<bool>> {
    let device = format!("{}?offset={PARTITION}", path_text(image)?);
    let output = tool("e2fsck", &["-f".to_owned(), "-n".to_owned(), device])?;
    Ok(output.map(|output| output.status.success()))
}

fn path_text(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{} is no text", path.display()))?;
    Ok(text.to_owned())
}

/// Runs a tool of e2fsprogs; `None` when it is not installed.
fn tool(name: &str, arguments: &[String]) -> Result<Option<Output>> {
    for place in PLACES {
        match Command::new(PathBuf::from(format!("{place}{name}"))).args(arguments).output() {
            Ok(output) => return Ok(Some(output)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot run {name}")),
        }
    }
    Ok(None)
}

/// Writes the protective MBR and both copies of the partition table.
fn partition(mut file: File, len: u64) -> Result<()> {
    let sectors = u32::try_from(len / 512 - 1).unwrap_or(u32::MAX);
    gpt::mbr::ProtectiveMBR::with_lb_size(sectors)
        .overwrite_lba0(&mut file)
        .context("cannot write the MBR")?;
    let mut disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(gpt::disk::LogicalBlockSize::Lb512)
        .create_from_device(file, None)
        .context("cannot write the partition table")?;
    let kind = gpt::partition_types::LINUX_FS;
    let id = disk
        .add_partition("tresor-demo", len - 2 * PARTITION, kind, 0, Some(PARTITION / 512))
        .context("cannot add the partition")?;
    let first = disk.partitions().get(&id).map(|partition| partition.first_lba);
    ensure!(first == Some(PARTITION / 512), "the partition does not begin at 1 MiB");
    let file = disk.write().context("cannot write the partition table")?;
    file.sync_all()?;
    Ok(())
}
