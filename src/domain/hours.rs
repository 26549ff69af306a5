//! The hours at which a host works, as its owner writes them: `22:00-07:00`, `sat-sun 00:00-24:00`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u16 = 24 * 60;

/// A part of the day on some days of the week. A window that goes past midnight belongs to the day on which it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    /// Monday is the first.
    days: [bool; 7],
    /// Minutes since midnight. An end before the beginning is on the next day.
    from: u16,
    to: u16,
    /// The text that the owner wrote.
    text: String,
}

impl Window {
    /// Returns whether the window is open at a minute of a day. Monday is day 0.
    pub fn holds(&self, day: usize, minute: u16) -> bool {
        let (today, yesterday) = (self.days[day % 7], self.days[(day + 6) % 7]);
        if self.from < self.to {
            today && (self.from..self.to).contains(&minute)
        } else {
            (today && minute >= self.from) || (yesterday && minute < self.to)
        }
    }
}

/// Returns whether any window is open at a minute of a day. Without windows the result is always `true`.
pub fn open(windows: &[Window], day: usize, minute: u16) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.holds(day, minute))
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time of work; write e.g. `22:00-07:00` or `mon-fri 18:00-24:00`");
        let text = text.trim();
        let (days, hours) = text.rsplit_once(' ').unwrap_or(("", text));
        let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
        let from = minutes(from).filter(|from| *from < DAY).ok_or_else(wrong)?;
        let to = minutes(to).filter(|to| *to != from).ok_or_else(wrong)?;
        Ok(Self {
            days: week(days).ok_or_else(wrong)?,
            from,
            to,
            text: text.to_owned(),
        })
    }
}

/// Returns the minutes since midnight of a time from `00:00` to `24:00`, or `None` if the text is no such time.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
    Some(number(hours)? * 60 + minutes).filter(|all| *all <= DAY)
}

/// Returns the days that a text such as `mon`, `mon-fri` or `sat,sun` names. An empty text names every day. Returns
/// `None` if a part of the text is not a day.
fn week(text: &str) -> Option<[bool; 7]> {
    if text.trim().is_empty() {
        return Some([true; 7]);
    }
    let mut days = [false; 7];
    let number = |name: &str| {
        let name = name.trim().to_lowercase();
        DAYS.iter().position(|day| *day == name)
    };
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (number(first)?, number(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Some(days)
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> String {
        window.text
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether a window is open on a day (Monday is 0) at an hour and minute.
    fn at(window: &str, day: usize, hour: u16, minute: u16) -> bool {
        window.parse::<Window>().unwrap().holds(day, hour * 60 + minute)
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        for (window, day, hour, minute, holds) in [
            ("22:00-07:00", 0, 21, 59, false),
            ("22:00-07:00", 0, 22, 0, true),
            ("22:00-07:00", 3, 6, 59, true),
            ("22:00-07:00", 3, 7, 0, false),
            ("fri 22:00-07:00", 4, 23, 0, true),
            ("fri 22:00-07:00", 5, 3, 0, true),
            ("fri 22:00-07:00", 4, 3, 0, false),
            ("sun 22:00-07:00", 0, 3, 0, true),
            ("sat,sun 00:00-24:00", 6, 23, 59, true),
            ("sat,sun 00:00-24:00", 0, 0, 0, false),
            ("mon-fri 09:00-17:00", 5, 12, 0, false),
            ("fri-mon 09:00-17:00", 0, 12, 0, true),
            ("fri-mon 09:00-17:00", 2, 12, 0, false),
        ] {
            assert_eq!(
                at(window, day, hour, minute),
                holds,
                "{window} on day {day} at {hour}:{minute}"
            );
        }
    }

    #[test]
    fn no_windows_are_always_open() {
        assert!(open(&[], 2, 100));
        let windows = ["mon 01:00-02:00", "tue 01:00-02:00"].map(|text| text.parse().unwrap());
        assert!(open(&windows, 1, 90) && !open(&windows, 2, 90));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "22",
            "22:00",
            "22-07",
            "2:00-7:00",
            "24:00-07:00",
            "22:60-07:00",
            "07:00-07:00",
            "never 07:00-08:00",
            "mon- 07:00-08:00",
            "25:00-26:00",
            "07:00-24:01",
            "+1:00-02:00",
        ] {
            let error = text.parse::<Window>().unwrap_err();
            assert!(error.contains("22:00-07:00"), "{text}: {error}");
        }
    }

    #[test]
    fn what_was_written_is_shown() {
        let window: Window = "Mon-Fri 22:00-07:00".parse().unwrap();
        assert_eq!(window.to_string(), "Mon-Fri 22:00-07:00");
        assert_eq!(String::from(window.clone()).parse(), Ok(window));
    }
}
