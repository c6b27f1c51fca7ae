//! Floats as Python's json module prints them: the shortest digits that read back the same.

/// Appends the JSON text of a float, with Python's `NaN` and `Infinity`.
pub(super) fn push_float(text: &mut String, value: f64) {
    if value.is_nan() {
        return text.push_str("NaN");
    }
    if value.is_infinite() {
        return text.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    // Rust's digits are the shortest too; only the layout around them is Python's own.
    let scientific = shortest(value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if mantissa.starts_with('-') {
        text.push('-');
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    match exponent {
        -4..=-1 => {
            text.push_str("0.");
            (1..-exponent).for_each(|_| text.push('0'));
            text.push_str(&digits);
        }
        0..=15 => {
            let whole = exponent as usize + 1;
            if digits.len() <= whole {
                text.push_str(&digits);
                (digits.len()..whole).for_each(|_| text.push('0'));
                text.push_str(".0");
            } else {
                text.push_str(&digits[..whole]);
                text.push('.');
                text.push_str(&digits[whole..]);
            }
        }
        _ => {
            text.push_str(&digits[..1]);
            if digits.len() > 1 {
                text.push('.');
                text.push_str(&digits[1..]);
            }
            let sign = if exponent < 0 { '-' } else { '+' };
            text.push_str(&format!("e{sign}{:02}", exponent.abs()));
        }
    }
}

/// The fewest digits that read back the same, in scientific notation; of those as short, the nearest,
/// and of two as near the even one, as Python has it. Rust takes the upper one there.
fn shortest(value: f64) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest.bytes().take_while(|byte| *byte != b'e');
    let digits = digits.filter(u8::is_ascii_digit).count();
    // Only digits that reach the float's last bits can lie as near from both sides.
    if digits < 16 {
        return shortest;
    }
    let nearest = format!("{value:.*e}", digits - 1);
    match nearest.parse::<f64>() {
        Ok(read) if read == value => nearest,
        _ => shortest,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn floats_look_like_pythons() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (123.456, "123.456"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1234567890123456.7, "1234567890123456.8"),
            (12345678901234567.0, "1.2345678901234568e+16"),
            // Halfway between two numbers of seventeen digits.
            (1795610462.0 + 0.95703125, "1795610462.9570312"),
            (1795610462.0 + 0.19921875, "1795610462.1992188"),
            (-2.5e300, "-2.5e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut text = String::new();
            super::push_float(&mut text, value);
            assert_eq!(text, expected);
        }
    }
}
