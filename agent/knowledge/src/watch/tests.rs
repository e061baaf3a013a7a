//! Real folders that change under a library. Every wait is for a state, and ends.

use std::fs;

use crate::Limits;
use crate::pdf::writing;

use super::*;

/// No state takes this long to come.
const PATIENCE: Duration = Duration::from_secs(40);

struct World {
    folder: tempfile::TempDir,
    library: Arc<Library>,
    life: Lifecycle,
}

impl World {
    async fn new(way: Way) -> Self {
        Self::with(way, Limits::default()).await
    }

    async fn with(way: Way, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("docs");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("otter.md"), "# Otter\n\nThe otter eats fish.\n").unwrap();
        let library = Arc::new(Library::with(vec![root], limits));
        library.index().await.unwrap();
        let life = Lifecycle::new();
        begin(Arc::clone(&library), &life, way);
        Self { folder, library, life }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("docs").join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    fn sources(&self, question: &str) -> Vec<String> {
        let index = self.library.current().unwrap();
        assert!(index.documents() > 0, "the index is never empty");
        let hits = index.search(question, 5).unwrap();
        hits.into_iter().map(|it| it.source.to_string()).collect()
    }

    /// Waits until a question is answered by exactly these files.
    async fn found(&self, question: &str, sources: &[&str]) {
        let began = Instant::now();
        while self.sources(question) != sources {
            let last = self.sources(question);
            assert!(began.elapsed() < PATIENCE, "{question}: {last:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.life.drain();
        assert!(self.life.wait(PATIENCE).await.is_ok());
    }
}

#[tokio::test]
async fn what_is_added_changed_and_removed_shows_without_a_restart() {
    let world = World::new(Way::Told).await;
    world.write("heron.txt", "The heron stands still.\n");
    world.found("heron", &["heron.txt"]).await;
    fs::create_dir_all(world.path("deep/er")).unwrap();
    world.write("deep/er/badger.html", "<h1>Badger</h1><p>The badger digs.");
    world.found("badger", &["deep/er/badger.html"]).await;
    world.write("heron.txt", "The bittern booms.\n");
    world.found("bittern", &["heron.txt"]).await;
    world.found("heron stands", &["heron.txt"]).await;
    fs::remove_file(world.path("heron.txt")).unwrap();
    world.found("bittern", &[]).await;
    fs::rename(world.path("deep"), world.path("moved")).unwrap();
    world.found("badger", &["moved/er/badger.html"]).await;
    world.end().await;
}

#[tokio::test]
async fn where_the_system_does_not_tell_looking_finds_the_same() {
    let world = World::new(Way::Looking).await;
    world.write("heron.txt", "The heron stands still.\n");
    world.found("heron", &["heron.txt"]).await;
    fs::remove_file(world.path("heron.txt")).unwrap();
    world.found("heron", &[]).await;
    world.end().await;
}

#[tokio::test]
async fn an_editor_that_replaces_a_file_never_empties_the_index() {
    let world = World::new(Way::Told).await;
    for round in 0..30 {
        fs::rename(world.path("otter.md"), world.path("otter.md~")).unwrap();
        assert_eq!(world.sources("otter"), ["otter.md"]);
        world.write(".otter.md.swp", format!("# Otter\n\nThe otter swims {round}.\n"));
        fs::rename(world.path(".otter.md.swp"), world.path("otter.md")).unwrap();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(world.sources("otter"), ["otter.md"]);
    }
    world.found("swims 29", &["otter.md"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_broken_file_keeps_out_only_itself_and_comes_back_when_it_is_whole() {
    let world = World::new(Way::Told).await;
    let whole = writing::file("", &[&["The kestrel hovers."]]);
    world.write("kestrel.pdf", &whole);
    world.found("kestrel", &["kestrel.pdf"]).await;
    world.write("kestrel.pdf", "%PDF-1.5 half");
    world.write("latin1.md", b"caf\xe9 otter");
    world.write("heron.txt", "The heron stands still.\n");
    world.found("heron", &["heron.txt"]).await;
    world.found("kestrel", &[]).await;
    world.found("otter", &["otter.md"]).await;
    world.write("kestrel.pdf", &whole);
    world.write("latin1.md", "café plover");
    world.found("kestrel", &["kestrel.pdf"]).await;
    world.found("plover", &["latin1.md"]).await;
    world.end().await;
}

#[tokio::test]
async fn a_folder_that_vanishes_or_holds_too_much_leaves_the_index_as_it_was() {
    let limits = Limits { text: 10_000, ..Limits::default() };
    let world = World::with(Way::Told, limits).await;
    world.write("much.txt", "The heron stands still. ".repeat(500));
    world.write("more.txt", "The bittern booms.");
    let refused = world.library.look();
    assert!(refused.unwrap_err().to_string().contains("more than 9 KiB of text"));
    assert_eq!(world.sources("heron bittern"), Vec::<String>::new());
    fs::remove_file(world.path("much.txt")).unwrap();
    world.found("bittern", &["more.txt"]).await;
    let away = world.folder.path().join("away");
    fs::rename(world.path(""), &away).unwrap();
    assert!(world.library.look().is_err());
    assert_eq!(world.sources("otter"), ["otter.md"]);
    fs::rename(&away, world.path("")).unwrap();
    world.write("heron.txt", "The heron stands still.\n");
    world.found("heron", &["heron.txt"]).await;
    world.end().await;
}

#[test]
fn only_writing_below_the_folders_is_a_change() {
    let roots = [PathBuf::from("/docs"), PathBuf::from("/one/file.md")];
    let event = |kind, path: &str| Event::new(kind).add_path(path.into());
    let open = EventKind::Access(AccessKind::Open(AccessMode::Read));
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let removed = EventKind::Remove(notify::event::RemoveKind::Any);
    for (event, expected) in [
        (event(open, "/docs/a.md"), false),
        (event(written, "/docs/a.md"), true),
        (event(removed, "/docs/..data"), true),
        (event(written, "/one/file.md"), true),
        (event(written, "/one/other.md"), false),
        (Event::new(EventKind::Other), true),
    ] {
        assert_eq!(matters(&event, &roots), expected, "{event:?}");
    }
    assert!(is_uprooted(&event(removed, "/docs"), &roots));
    assert!(!is_uprooted(&event(removed, "/docs/a.md"), &roots));
}
