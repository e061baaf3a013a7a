//! What is typed while an answer comes is not written into it. It is not lost:
//! it stands on the next line that one types on.

use std::fmt;

#[cfg(unix)]
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Keys are not shown while it lives. Nothing where no terminal types.
pub(super) struct Silence {
    #[cfg(unix)]
    before: Option<Termios>,
}

impl Silence {
    /// From now on.
    #[cfg(unix)]
    pub(super) fn begin() -> Self {
        let input = rustix::stdio::stdin();
        let before = tcgetattr(input).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes.remove(LocalModes::ECHO);
            // A terminal that does not obey shows the keys.
            let _disobeyed = tcsetattr(input, OptionalActions::Drain, &modes);
        }
        Self { before }
    }

    /// From now on.
    #[cfg(not(unix))]
    pub(super) fn begin() -> Self {
        Self {}
    }
}

#[cfg(unix)]
impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _disobeyed = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, before);
        }
    }
}

impl fmt::Debug for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Silence")
    }
}
