use super::*;

#[test]
fn a_missing_folder_is_made_only_for_a_new_store() {
    let rt = crate::serve::runtime().unwrap();
    let top = tempfile::tempdir().unwrap();
    let target = Target::Folder(top.path().join("store"));
    assert!(Usage::is_in(&target.open(rt.handle()).unwrap_err()));
    target.make(rt.handle()).unwrap();
    target.open(rt.handle()).unwrap();
}
