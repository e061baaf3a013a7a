//! How text becomes search terms, in Chinese and English, and in which script
//! it is written. Pure; knows nothing of what is searched.

mod script;
mod terms;

pub use script::{is_chinese, is_han, is_wide};
pub use terms::{Grain, Terms, analyzer};
