//! Answers from folders and from the documentation that is built in.

use std::path::Path;

use proto::ask_event::Kind;
use proto::{AskRequest, Citation};

use crate::world::{Answer, World, question};

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn citations(answer: &Answer) -> Vec<Citation> {
    let mut citations = Vec::new();
    for kind in answer.kinds() {
        if let Kind::Citation(citation) = kind {
            citations.push(citation.clone());
        }
    }
    citations
}

/// A little library about two animals, in two languages.
fn library() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(
        root,
        "animals/otter.md",
        "# Otters\n\n## Food\n\nAn otter eats about\na fifth of its weight in fish each day. It hunts at night.\n\n## Home\n\nIts den is called a holt.\n",
    );
    write(
        root,
        "zh/水獭.md",
        "# 水獭\n\n## 食物\n\n水獭每天吃掉相当于体重五分之一的鱼。它在夜间捕食。\n\n## 家\n\n水獭的巢穴在河岸。\n",
    );
    write(
        root,
        "heron.txt",
        "The heron stands still in shallow water.\n\nHerons nest in colonies, high in trees.\n",
    );
    folder
}

#[tokio::test]
async fn an_answer_is_taken_from_the_passage_word_for_word_with_its_place() {
    let folder = library();
    let world = World::extractive(&[folder.path()]).await;
    let answer = world.answer(question("How much fish does an otter eat?")).await;
    let quote = "An otter eats about a fifth of its weight in fish each day.";
    assert!(answer.text().starts_with(quote), "{}", answer.text());
    let first = &citations(&answer)[0];
    assert_eq!((first.number, first.source.as_str()), (1, "animals/otter.md"));
    assert_eq!(first.heading, "Otters > Food");
    assert_eq!((first.first_line, first.last_line), (5, 6));
    assert_eq!(first.quote, quote);
    assert!(answer.text()[quote.len()..].starts_with(" [1]"), "{}", answer.text());
    assert!(answer.completed());
    assert!(answer.events.len() > 12, "it is streamed");
}

#[tokio::test]
async fn a_chinese_question_is_answered_in_chinese_whatever_the_order_of_its_words() {
    let folder = library();
    let world = World::extractive(&[folder.path()]).await;
    for asked in ["水獭吃什么?", "每天吃多少鱼,水獭?"] {
        let answer = world.answer(question(asked)).await;
        let first = &citations(&answer)[0];
        assert_eq!(first.source, "zh/水獭.md", "{asked}");
        assert_eq!(first.heading, "水獭 > 食物");
        assert_eq!((first.first_line, first.last_line), (5, 5));
        assert_eq!(first.quote, "水獭每天吃掉相当于体重五分之一的鱼。");
        assert!(!answer.text().contains("otter"), "{}", answer.text());
    }
}

#[tokio::test]
async fn plain_text_is_found_by_other_forms_of_its_words() {
    let folder = library();
    let world = World::extractive(&[folder.path()]).await;
    let answer = world.answer(question("where do herons nesting?")).await;
    let cited = citations(&answer);
    assert!(cited.iter().all(|it| it.source == "heron.txt"));
    assert!(cited.iter().any(|it| (it.first_line, it.last_line) == (3, 3)));
}

#[tokio::test]
async fn what_the_library_does_not_know_is_said_in_the_language_of_the_question() {
    let folder = library();
    let world = World::extractive(&[folder.path()]).await;
    for (asked, said) in [
        ("Who won the world cup in 1998?", "I found nothing"),
        ("What is the capital of France?", "I found nothing"),
        ("What is it that they are?", "I found nothing"),
        ("?!", "I found nothing"),
        ("帕金森的治疗方案有哪些?", "没有找到"),
    ] {
        let answer = world.answer(question(asked)).await;
        assert!(answer.text().contains(said), "{asked}: {}", answer.text());
        assert!(citations(&answer).is_empty(), "{asked}");
        assert!(answer.completed());
    }
}

#[tokio::test]
async fn nothing_outside_the_folder_is_read_and_unreadable_files_do_not_stop_it() {
    let folder = library();
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.md", "The zebra password is 42.\n");
    let root = folder.path();
    std::os::unix::fs::symlink(outside.path(), root.join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.md"), root.join("secret.md")).unwrap();
    std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
    std::os::unix::fs::symlink("/", root.join("everything")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("gone.md")).unwrap();
    std::os::unix::fs::symlink(root.join("animals"), root.join("again")).unwrap();
    std::fs::write(root.join("latin1.md"), b"caf\xe9 zebra password").unwrap();
    write(root, ".hidden/zebra.md", "The zebra password is 43.\n");
    write(root, "zebra.pdf", "The zebra password is 44.\n");
    let world = World::extractive(&[root]).await;
    let answer = world.answer(question("What is the zebra password?")).await;
    assert!(answer.text().contains("I found nothing"), "{}", answer.text());
    let answer = world.answer(question("What is a holt?")).await;
    assert_eq!(citations(&answer).len(), 1, "{:?}", citations(&answer));
}

#[tokio::test]
async fn the_built_in_documentation_answers_about_weir_in_both_languages() {
    let world = World::extractive(&[]).await;
    let world = &world;
    let answers = [
        ("What is Weir?", "en/what-is-weir.md"),
        ("How does a stream resume after a cut connection?", "en/resume-a-stream.md"),
        ("How do I scale workers?", "en/scaling.md"),
        ("How do I plug a model in?", "en/models.md"),
        ("How are tool calls reviewed?", "en/tool-review.md"),
        ("Weir 是什么?", "zh/what-is-weir.md"),
        ("断线以后怎么继续接收?", "zh/resume-a-stream.md"),
        ("怎么扩展 worker?", "zh/scaling.md"),
        ("怎样接入一个模型?", "zh/models.md"),
        ("工具调用如何审核?", "zh/tool-review.md"),
    ]
    .map(|(asked, source)| async move {
        let asked = AskRequest { session_id: asked.to_owned(), ..question(asked) };
        (world.answer(asked).await, source)
    });
    for (answer, source) in futures::future::join_all(answers).await {
        let cited = citations(&answer);
        assert_eq!(cited[0].source, source, "{}", answer.text());
        let mut text = answer.text();
        for citation in &cited {
            let at = text.find(&citation.quote).expect("every quote is in the answer");
            text.replace_range(at..at + citation.quote.len(), "");
            let mark = format!("[{}]", citation.number);
            let behind =
                text[at..].trim_start().strip_prefix(&mark).expect("its mark is behind it");
            text = format!("{}{behind}", &text[..at]);
        }
        assert!(text.trim().is_empty(), "and nothing else is: {text}");
    }
}

#[tokio::test]
async fn the_built_in_documentation_does_not_answer_what_it_does_not_know() {
    let world = World::extractive(&[]).await;
    for (asked, said) in [
        ("帕金森的治疗方案有哪些?", "没有找到"),
        ("今天天气怎么样?", "没有找到"),
        ("What is the weather in Paris today?", "I found nothing"),
        ("How do I cook rice?", "I found nothing"),
        ("Tell me a joke", "I found nothing"),
        ("Who are you?", "I found nothing"),
    ] {
        let answer = world.answer(question(asked)).await;
        assert!(answer.text().contains(said), "{asked}: {}", answer.text());
        assert!(citations(&answer).is_empty(), "{asked}");
    }
}
