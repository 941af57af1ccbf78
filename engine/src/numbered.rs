//! Enumerations whose numbers are permanent: how they are written down, once for all crates that have some.
//!
//! In: names, numbers, words and sentences. Out: the type, and the ways between them. Never here: what a number means
//! for anybody.

/// Writes an enumeration of numbered words: each has its name, its number, its word and, as its documentation, its meaning.
///
/// ```
/// cage_engine::numbered! {
///     /// How it is.
///     pub enum Weather: u8 {
///         /// No cloud to be seen.
///         Fair = 1, "fair";
///         /// Rain or snow.
///         Foul = 3, "foul";
///     }
/// }
/// assert_eq!(Weather::from_number(3), Some(Weather::Foul));
/// assert_eq!((Weather::from_number(2), Weather::ALL.len()), (None, 2));
/// assert_eq!((Weather::Fair.name(), Weather::Fair.meaning()), ("fair", "No cloud to be seen."));
/// ```
#[macro_export]
macro_rules! numbered {
    (
        $(#[$about:meta])+
        pub enum $type:ident: $number_type:ident {
            $($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+
        }
    ) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($number_type)]
        pub enum $type { $($(#[doc = $doc])+ $name = $number,)+ }

        impl $type {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name, as logs, documents, the command line and other languages print it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// The one with this number.
            #[must_use]
            pub const fn from_number(number: $number_type) -> Option<Self> {
                match number { $($number => Some(Self::$name),)+ _ => None }
            }
        }
    };
}
