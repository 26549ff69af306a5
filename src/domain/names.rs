//! Enums whose values have a name: one word in rows, in JSON and on pages.

/// Gives an enum `ALL`, `name()`, `Display` and `FromStr`. The error of `FromStr` names the text that it refuses.
macro_rules! names {
    ($type:ident, $what:literal: $($variant:ident = $name:literal),+ $(,)?) => {
        impl $type {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                let named = Self::ALL.iter().copied().find(|value| value.name() == name);
                named.ok_or_else(|| format!(concat!("there is no ", $what, " {:?}"), name))
            }
        }
    };
}

pub(crate) use names;
