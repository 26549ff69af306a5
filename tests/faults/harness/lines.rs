//! What the suites under test print is known to the byte, so that a log can be told to be whole.

/// A project under test.
pub struct Sample {
    pub name: &'static str,
    /// Lines that its suite prints.
    pub lines: usize,
    /// Milliseconds between two of them.
    pub pause: u64,
    pub exit_code: i64,
    /// Size of log that is kept, if not all is.
    pub cap: Option<&'static str>,
}

pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "quick",
        lines: 300,
        pause: 0,
        exit_code: 0,
        cap: None,
    },
    Sample {
        name: "steady",
        lines: 300,
        pause: 10,
        exit_code: 0,
        cap: None,
    },
    Sample {
        name: "fails",
        lines: 500,
        pause: 2,
        exit_code: 3,
        cap: None,
    },
    Sample {
        name: "floods",
        lines: 40_000,
        pause: 0,
        exit_code: 0,
        cap: Some("128KiB"),
    },
];

/// What a line of the host's own begins and ends with.
const MARK: &str = "\u{1b}[36m[pybots] ";
const MARK_END: &str = "\u{1b}[0m\n";
const CUT: &str = " bytes of the log were cut here";

impl Sample {
    pub fn recipe(&self) -> String {
        let limits = self
            .cap
            .map(|cap| format!("[limits]\nlog = {cap:?}\n"))
            .unwrap_or_default();
        format!(
            "name = {:?}\nsource = {{ path = \"src\" }}\ninstall = []\n{limits}[[suite]]\nname = \"suite\"\nrun = \"python suite.py\"\n",
            self.name
        )
    }

    pub fn suite(&self) -> String {
        let Self {
            lines,
            pause,
            exit_code,
            ..
        } = self;
        format!(
            "import sys, time\nfor n in range({lines}):\n    sys.stdout.write('line %08d of a suite that is known to the byte\\n' % n)\n    \
             if {pause}:\n        sys.stdout.flush()\n        time.sleep({pause} / 1000)\nsys.stdout.flush()\nsys.exit({exit_code})\n"
        )
    }

    fn output(&self) -> String {
        (0..self.lines)
            .map(|n| format!("line {n:08} of a suite that is known to the byte\n"))
            .collect()
    }

    /// What is wrong with the log of an attempt that was counted: it is whole, or marked where it was cut.
    pub fn whole(&self, log: &str) -> Result<(), String> {
        if !log.contains(&format!("{MARK}outcome: ")) {
            return Err(format!("has no outcome at its end, but {:?}", end(log)));
        }
        match self.section(log) {
            Some((section, true)) => self.complete(section, &self.output()),
            Some((section, false)) => Err(format!("lacks the end of its suite after {} bytes", section.len())),
            None => Err("lacks its suite".to_owned()),
        }
    }

    /// What is wrong with the log of an attempt that the machinery ended: it is a beginning of the whole one.
    pub fn beginning(&self, log: &str) -> Result<(), String> {
        let output = self.output();
        match self.section(log) {
            None => Ok(()),
            Some((section, true)) if !output.starts_with(section) => self.complete(section, &output),
            Some((section, _)) if output.starts_with(section) || section.contains(CUT) => Ok(()),
            Some((section, _)) => Err(format!(
                "leaves what its suite printed after {}",
                differs(section, &output)
            )),
        }
    }

    fn complete(&self, section: &str, output: &str) -> Result<(), String> {
        if section == output {
            return Ok(());
        }
        let Some((head, rest)) = section.split_once(&format!("\n{MARK}")) else {
            return Err(format!(
                "has {} bytes of {}; they differ after {}",
                section.len(),
                output.len(),
                differs(section, output)
            ));
        };
        let (mark, tail) = rest.split_once(MARK_END).unwrap_or((rest, ""));
        let cut: usize = mark.strip_suffix(CUT).and_then(|cut| cut.parse().ok()).unwrap_or(0);
        if self.cap.is_some()
            && output.starts_with(head)
            && output.ends_with(tail)
            && head.len() + cut + tail.len() == output.len()
        {
            return Ok(());
        }
        Err(format!(
            "has {} and {} bytes around {mark:?}, of {}",
            head.len(),
            tail.len(),
            output.len()
        ))
    }

    /// What the suite printed, and whether its end was seen.
    fn section<'a>(&self, log: &'a str) -> Option<(&'a str, bool)> {
        let (_, rest) = log.split_once(&format!("{MARK}phase test suite{MARK_END}"))?;
        match rest.find(&format!("{MARK}phase test suite ended")) {
            Some(end) => Some((&rest[..end], true)),
            // the next line of the host's own, if any, is none of the suite's
            None => Some((rest.split(MARK).next().unwrap_or(rest), false)),
        }
    }
}

fn differs(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

fn end(log: &str) -> &str {
    let from = log.char_indices().rev().nth(200).map_or(0, |(at, _)| at);
    &log[from..]
}

#[cfg(test)]
// the bench has no test harness
#[allow(dead_code, unused_imports)]
mod tests {
    use super::*;

    fn log(suite: &str) -> String {
        format!(
            "{MARK}phase test suite{MARK_END}{suite}{MARK}phase test suite ended after 1.0 s: exit code 0{MARK_END}{MARK}outcome: passed{MARK_END}"
        )
    }

    #[test]
    fn a_whole_log_is_told_from_one_with_a_hole() {
        let quick = &SAMPLES[0];
        let output = quick.output();
        assert_eq!(quick.whole(&log(&output)), Ok(()));
        assert!(quick.whole(&log(&output.replace("00000100", "00000101"))).is_err());
        assert!(quick.whole(&log(&output[..1000])).is_err());
        assert!(quick.whole(&log(&output).replace("outcome", "income")).is_err());
        assert_eq!(
            quick.beginning(&format!("{MARK}phase test suite{MARK_END}{}", &output[..777])),
            Ok(())
        );
        assert!(
            quick
                .beginning(&format!("{MARK}phase test suite{MARK_END}{}", &output[1..777]))
                .is_err()
        );
    }

    #[test]
    fn a_cut_has_to_be_marked_to_the_byte() {
        let (quick, floods) = (&SAMPLES[0], &SAMPLES[3]);
        let output = floods.output();
        let (head, tail) = (&output[..1000], &output[output.len() - 1000..]);
        let cut = |bytes: usize| log(&format!("{head}\n{MARK}{bytes}{CUT}{MARK_END}{tail}"));
        assert_eq!(floods.whole(&cut(output.len() - 2000)), Ok(()));
        assert!(floods.whole(&cut(output.len() - 2001)).is_err());
        assert!(quick.whole(&cut(0)).is_err());
    }
}
