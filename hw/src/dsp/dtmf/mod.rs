//! DTMF (ITU-T Q.23): the generator and the detector (bar: ITU-T Q.24, AT&T column).

mod analysis;
mod detector;
mod generator;
mod kernel;

pub use detector::{Detector, Edge, Event, Limits};
pub use generator::{Generator, Keying};

use units::Digit;

/// The four low frequencies, rows of the keypad, Hz (Q.23).
pub const LOW_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// The four high frequencies, columns of the keypad, Hz (Q.23).
pub const HIGH_HZ: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// RFC 4733 event codes by row and column.
const EVENTS: [[u8; 4]; 4] = [[1, 2, 3, 12], [4, 5, 6, 13], [7, 8, 9, 14], [10, 0, 11, 15]];

/// The digit of a row and a column, each 0..4.
fn digit_at(row: usize, column: usize) -> Digit {
    Digit::from_event(EVENTS[row & 3][column & 3]).expect("the table holds event codes")
}

/// Row and column of a digit.
#[must_use]
pub fn position(digit: Digit) -> (usize, usize) {
    let event = digit.event();
    let at = EVENTS.iter().flatten().position(|&e| e == event).expect("all sixteen are in the table");
    (at / 4, at % 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q23_keypad_positions() {
        let check = |c: char, at: (usize, usize)| {
            let d = Digit::try_from(c).expect("a digit");
            assert_eq!((position(d), digit_at(at.0, at.1)), (at, d));
        };
        check('1', (0, 0));
        check('0', (3, 1));
        check('#', (3, 2));
        check('D', (3, 3));
        check('6', (1, 2));
    }
}
