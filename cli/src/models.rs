//! The models that a gateway names: those that can be asked for by name, and
//! what stands for every model of a provider.

/// What stands behind a provider whose models are not counted.
const ANY: &str = "<name>";

/// Whether it is a name that can be asked for, and not one of many.
pub(crate) fn is_one(offered: &str) -> bool {
    !offered.ends_with(&format!("/{ANY}"))
}

/// Whether what an agent offers is the model, or stands for it.
pub(crate) fn covers(offered: &str, model: &str) -> bool {
    let Some(provider) = offered.strip_suffix(ANY).filter(|it| it.ends_with('/')) else {
        return offered == model;
    };
    model.strip_prefix(provider).is_some_and(|it| !it.is_empty() && it != ANY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_offered_by_its_name_or_with_its_provider() {
        assert!(covers("a/b", "a/b") && covers("a/<name>", "a/b") && covers("a/<name>", "a/b/c"));
        for (offered, model) in [
            ("a/b", "a/c"),
            ("a/<name>", "a/"),
            ("a/<name>", "a/<name>"),
            ("a/<name>", "b/a/c"),
            ("a/*", "a/b"),
            ("<name>", "a"),
        ] {
            assert!(!covers(offered, model), "{offered} {model}");
        }
    }

    #[test]
    fn what_stands_for_many_is_no_name_to_ask_for() {
        assert!(is_one("a/b") && is_one("extractive") && !is_one("a/<name>"));
    }
}
