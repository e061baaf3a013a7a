//! The file of keys: read, written by many, and broken.

use super::*;

use secrecy::ExposeSecret as _;

const ROW: &str = "[[keys]]\nid = \"0123456789ab\"\n\
    sha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n\
    user = \"u\"\nrole = \"user\"\ncreated = \"2026-01-02T03:04:05Z\"\n";

fn wanted(user: &str) -> Wanted {
    let label = Some("a \"label\"".to_owned());
    Wanted { user: user.parse().unwrap(), role: Role::Operator, label, expires: None }
}

fn mode(file: &File) -> u32 {
    fs::metadata(file.path()).unwrap().mode() & 0o777
}

#[test]
fn what_is_made_is_kept_without_its_secret_and_taken_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::at(folder.path().join("new/keys.toml"));
    assert!(matches!(file.keys(), Err(Error::Missing(_))));
    let (first, text) = file.create(wanted("u")).unwrap();
    let (second, _) = file.create(Wanted { label: None, ..wanted("用户") }).unwrap();
    assert_eq!(file.keys().unwrap(), [first.clone(), second.clone()]);
    let written = fs::read_to_string(file.path()).unwrap();
    let (_, secret) = super::super::parts(text.expose_secret()).unwrap();
    assert!(!written.contains(secret) && written.contains(&first.id));
    assert_eq!(file.revoke(&first.id).unwrap(), first);
    assert_eq!(file.keys().unwrap(), [second]);
    let again = file.revoke(&first.id).unwrap_err();
    assert!(again.to_string().ends_with(&format!("has no key {}", first.id)), "{again}");
    let left: Vec<_> = fs::read_dir(folder.path().join("new")).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_new_file_is_its_owners_alone_and_others_never_get_to_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::at(folder.path().join("keys.toml"));
    file.create(wanted("u")).unwrap();
    assert_eq!((mode(&file), file.is_open_to_others()), (0o600, false));
    for (before, open, after) in [
        (0o644, true, 0o640),
        (0o640, false, 0o640),
        (0o660, true, 0o640),
        (0o620, true, 0o600),
        (0o602, true, 0o600),
    ] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(before)).unwrap();
        assert_eq!(file.is_open_to_others(), open, "{before:o}");
        file.create(wanted("u")).unwrap();
        assert_eq!(mode(&file), after, "{before:o}");
    }
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::at(folder.path().join("keys.toml"));
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let file = &file;
            scope.spawn(move || {
                for _ in 0..5 {
                    file.create(wanted(&format!("u{writer}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(file.keys().unwrap().len(), 40);
}

#[test]
fn a_link_to_the_file_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let [link, real] = ["link", "real"].map(|it| folder.path().join(it));
    File::at(&real).create(wanted("u")).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    File::at(&link).create(wanted("v")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(File::at(&real).keys().unwrap().len(), 2);
}

#[test]
fn what_weir_does_not_write_is_refused_with_what_is_wrong() {
    assert_eq!(parse(&format!("version = 1\n{ROW}")).unwrap().len(), 1);
    assert_eq!(parse("version = 1\n").unwrap(), []);
    let changed = |from: &str, to: &str| format!("version = 1\n{}", ROW.replace(from, to));
    for (text, expected) in [
        (String::new(), "line 1: missing field `version`"),
        ("version = 2".to_owned(), "version must be 1, not 2"),
        (ROW.to_owned(), "line 1: missing field `version`"),
        (format!("version = 1\n{ROW}secret = \"x\"\n"), "line 8: unknown field `secret`"),
        (format!("version = 1\nkey = 1\n{ROW}"), "line 2: unknown field `key`"),
        (format!("version = 1\n{ROW}{ROW}"), "there are two keys \"0123456789ab\""),
        (changed("0123456789ab", "0123456789AB"), "key \"0123456789AB\": id must be"),
        (changed("0123456789ab", "../x"), "key \"../x\": id must be"),
        (changed("ba78", "zz78"), "key \"0123456789ab\": sha256 must be"),
        (changed("\"u\"", "\"\""), "key \"0123456789ab\": user must"),
        (changed("\"user\"", "\"root\""), "line 6: unknown variant `root`"),
        (changed("user = \"u\"\n", ""), "line 2: missing field `user`"),
        (changed("2026-01-02", "yesterday"), "line 7: "),
        (format!("version = 1\n{ROW}label = \"a\\nb\"\n"), "key \"0123456789ab\": a label must"),
        ("version = ".to_owned(), "line 1: "),
    ] {
        let said = parse(&text).unwrap_err();
        assert!(said.starts_with(expected), "{text}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(File::at(folder.path()).keys(), Err(Error::Malformed { .. })));
}
