//! The trail through crashes, new files and failures.

use super::*;
use crate::catalogue::EventFilter;
use crate::catalogue::sqlite::SqliteCatalogue;
use crate::model::ResourceId;
use std::path::PathBuf;
use tempfile::TempDir;
use uuid::Uuid;

const SMALL: AuditSettings = AuditSettings { file_bytes: 4096, files: 2, days: 90 };

struct Ground {
    folder: TempDir,
    catalogue: Arc<dyn Catalogue>,
    env: Env,
}

impl Ground {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = SqliteCatalogue::open(&folder.path().join("catalogue.db")).await.unwrap();
        Self { folder, catalogue: Arc::new(catalogue), env: Env::system() }
    }

    async fn open(&self) -> Recorder {
        Recorder::open(self.folder.path(), SMALL, false, &self.env, &self.catalogue).await.unwrap()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    fn lines(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn event(&self, number: u128) -> Event {
        Event {
            id: Uuid::from_u128(number),
            at: self.env.domain(),
            recorded: self.env.real(),
            actor: None,
            operation: "Disks_Delete".into(),
            action: "Microsoft.Compute/disks/delete".into(),
            resource: ResourceId::root(),
            verb: "DELETE".into(),
            peer: None,
            correlation: Uuid::nil(),
            request: Uuid::nil(),
            client_request: None,
            status: 0,
            code: String::new(),
            unrecorded: 0,
        }
    }

    async fn rows(&self) -> Vec<(u128, u16, String)> {
        let filter = EventFilter { limit: 1000, ..EventFilter::default() };
        let page = self.catalogue.events(&filter).await.unwrap();
        let mut rows: Vec<_> =
            page.rows.into_iter().map(|e| (e.id.as_u128(), e.status, e.code)).collect();
        rows.sort();
        rows
    }
}

#[tokio::test]
async fn an_event_is_a_row_and_two_lines() {
    let ground = Ground::new().await;
    let recorder = ground.open().await;
    let event = ground.event(1);
    recorder.begin(&event).await.unwrap();
    assert_eq!((ground.lines().len(), ground.rows().await.len()), (1, 0));
    recorder.end(Event { status: 200, ..event }).await;
    assert_eq!(ground.rows().await, [(1, 200, String::new())]);
    let lines = ground.lines();
    assert_eq!((&lines[0]["phase"], &lines[1]["phase"]), (&"begun".into(), &"ended".into()));
    assert_eq!(lines[1]["operation"], "Disks_Delete");
    drop(recorder);
    ground.open().await;
    assert_eq!(ground.rows().await.len(), 1);
    assert_eq!(ground.lines().len(), 2);
}

/// The process dies while a change is made: its trace is found, once.
#[tokio::test]
async fn what_began_and_did_not_end_is_recorded_at_the_next_start() {
    let ground = Ground::new().await;
    let recorder = ground.open().await;
    let event = ground.event(1);
    recorder.begin(&event).await.unwrap();
    recorder.begin(&ground.event(2)).await.unwrap();
    // The row of this one is there and its last line is not.
    ground.catalogue.apply(vec![Write::AddEvent(Event { status: 204, ..event })]).await.unwrap();
    drop(recorder);
    for _ in 0..2 {
        ground.open().await;
        let rows = ground.rows().await;
        assert_eq!(rows, [(1, 204, String::new()), (2, 0, "Interrupted".into())]);
    }
}

#[tokio::test]
async fn what_is_not_ended_is_carried_into_new_files() {
    let ground = Ground::new().await;
    let recorder = ground.open().await;
    recorder.begin(&ground.event(1)).await.unwrap();
    for number in 2..100 {
        recorder.begin(&ground.event(number)).await.unwrap();
        recorder.end(Event { status: 200, ..ground.event(number) }).await;
    }
    drop(recorder);
    let files = std::fs::read_dir(ground.folder.path()).unwrap();
    let names = files.map(|f| f.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with(FILE)).count(), 3);
    let size = std::fs::metadata(ground.file()).unwrap().len();
    assert!(size < SMALL.file_bytes + 4096, "{size}");
    ground.open().await;
    let interrupted = ("Interrupted".to_owned(), 1);
    let unknown = ground.rows().await.into_iter().filter(|row| row.1 == 0);
    assert_eq!(unknown.map(|row| (row.2, row.0)).collect::<Vec<_>>(), [interrupted]);
}

#[tokio::test]
async fn a_torn_line_hides_no_other() {
    let ground = Ground::new().await;
    let recorder = ground.open().await;
    recorder.begin(&ground.event(1)).await.unwrap();
    drop(recorder);
    let mut text = std::fs::read(ground.file()).unwrap();
    text.extend_from_slice(b"{\"phase\":\"begun\",\"id\":\"0000");
    std::fs::write(ground.file(), text).unwrap();
    let recorder = ground.open().await;
    recorder.begin(&ground.event(3)).await.unwrap();
    drop(recorder);
    ground.open().await;
    let ids: Vec<u128> = ground.rows().await.into_iter().map(|row| row.0).collect();
    assert_eq!(ids, [1, 3]);
}

/// What cannot be recorded is not begun; what was done is recorded at least in one of both.
#[tokio::test]
async fn a_file_that_cannot_be_written_refuses_what_would_begin() {
    let ground = Ground::new().await;
    let recorder = ground.open().await;
    std::fs::create_dir(ground.folder.path().join("audit.log.2")).unwrap();
    let mut refused = None;
    for number in 1..100 {
        if let Err(error) = recorder.begin(&ground.event(number)).await {
            refused = Some(error);
            break;
        }
    }
    let error = refused.unwrap();
    assert_eq!(error.kind(), FaultKind::Unavailable);
    assert!(error.fault.message.contains("not done"), "{error}");
    recorder.end(Event { status: 200, ..ground.event(500) }).await;
    assert_eq!(ground.rows().await, [(500, 200, String::new())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_at_one_time_are_all_kept() {
    let ground = Ground::new().await;
    let recorder = Arc::new(ground.open().await);
    let ends = (1..=300).map(|number| {
        let (recorder, event) = (Arc::clone(&recorder), ground.event(number));
        tokio::spawn(async move {
            recorder.begin(&event).await.unwrap();
            recorder.end(Event { status: 200, ..event }).await;
        })
    });
    futures::future::join_all(ends.collect::<Vec<_>>()).await;
    recorder.flush().await;
    assert_eq!(ground.rows().await.len(), 300);
}
