//! How the terminal takes keys. What is typed while an answer comes is not written
//! into it; it is not lost: it stands on the next line that one types on. Nothing
//! is changed where no terminal types.

use std::fmt;

#[cfg(unix)]
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush,
    tcgetattr, tcsetattr,
};
use std::sync::{Mutex, PoisonError};

/// What the terminal is wanted to do at this moment, which someone who stops and
/// continues the process may have changed.
static WANTED: Mutex<Wanted> = Mutex::new(Wanted::Lines);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What it did before.
    Lines,
    /// No key is shown.
    Silence,
    /// Keys come one by one.
    Keys,
}

/// Keys are not shown while it lives. Nothing where no terminal types.
pub(super) struct Silence {
    before: Modes,
}

/// Keys come one by one while it lives, as the editor wants it.
#[derive(Debug)]
pub(super) struct Keys(());

/// How a terminal took keys at some moment.
pub(super) struct Modes(#[cfg(unix)] Option<Termios>);

impl Silence {
    /// From now on.
    pub(super) fn begin() -> Self {
        let before = Modes::now();
        want(Wanted::Silence);
        before.set(Wanted::Silence);
        Self { before }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        want(Wanted::Lines);
        self.before.set(Wanted::Lines);
    }
}

impl Keys {
    /// From now on.
    pub(super) fn begin() -> Self {
        want(Wanted::Keys);
        Self(())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        want(Wanted::Lines);
    }
}

impl Modes {
    /// Those of this moment.
    #[cfg(unix)]
    pub(super) fn now() -> Self {
        Self(tcgetattr(rustix::stdio::stdin()).ok())
    }

    /// Those of this moment.
    #[cfg(not(unix))]
    pub(super) fn now() -> Self {
        Self()
    }

    /// As they were.
    pub(super) fn restore(&self) {
        self.set(Wanted::Lines);
    }

    /// What is wanted now, once more.
    pub(super) fn again(&self) {
        let wanted = *WANTED.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted != Wanted::Lines {
            self.set(wanted);
        }
    }

    #[cfg(unix)]
    fn set(&self, wanted: Wanted) {
        let Some(mut modes) = self.0.clone() else { return };
        match wanted {
            Wanted::Lines => {}
            Wanted::Silence => modes.local_modes.remove(LocalModes::ECHO),
            Wanted::Keys => {
                modes.input_modes.remove(
                    InputModes::BRKINT
                        | InputModes::ICRNL
                        | InputModes::INPCK
                        | InputModes::ISTRIP
                        | InputModes::IXON,
                );
                modes.local_modes.remove(
                    LocalModes::ECHO | LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG,
                );
                modes.special_codes[SpecialCodeIndex::VMIN] = 1;
                modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            }
        }
        // A terminal that does not obey shows the keys.
        let _disobeyed = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &modes);
    }

    #[cfg(not(unix))]
    fn set(&self, _: Wanted) {}
}

/// Drops what was typed and nobody has read.
pub(super) fn drop_typed() {
    #[cfg(unix)]
    // Where no terminal types there is nothing to drop.
    let _none = tcflush(rustix::stdio::stdin(), QueueSelector::IFlush);
}

fn want(wanted: Wanted) {
    *WANTED.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
}

impl fmt::Debug for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Silence")
    }
}

impl fmt::Debug for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Modes")
    }
}
