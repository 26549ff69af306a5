//! Names of packages.

/// Returns a name in the form in which names are compared: `Zope.Interface` becomes `zope-interface`. This is the form
/// of PEP 503 without separators at the ends.
pub fn normalized(name: &str) -> String {
    let parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_lowercase()
}

/// Returns whether two texts are spellings of one name: they differ at most in case and in runs of `-`, `_` and `.`.
pub fn is_same(name: &str, other: &str) -> bool {
    normalized(name) == normalized(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for name in [
            "Zope.Interface",
            "zope__interface",
            "zope-_.interface",
            "-zope-interface-",
        ] {
            assert_eq!(normalized(name), "zope-interface", "{name}");
            assert!(is_same(name, "zope.interface"), "{name}");
        }
        assert!(!is_same("zopeinterface", "zope-interface"));
    }
}
