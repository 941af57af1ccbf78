//! Amounts as providers write them, and as the ledger counts them.
//!
//! In: decimal text, or an integer in a provider's own unit. Out: the asset's smallest unit, or a refusal. What moves
//! money is exact or refused; what is only shown is rounded down. Never here: a float, a silent rounding.

use cage_engine::Amount;

/// The longest number that is read: more digits than any amount has.
const TEXT_BYTES_MAX: usize = 60;
/// The greatest power of ten that is multiplied or divided by.
const POWER_MAX: u32 = 38;

/// Why a number is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyFault {
    /// It is no number, or is written in another way than was agreed.
    #[error("not a number of the agreed form")]
    NotANumber,
    /// It is below zero.
    #[error("below zero")]
    Negative,
    /// It cannot be counted in the asset's smallest unit.
    #[error("finer than the asset's smallest unit")]
    Inexact,
    /// It is greater than any ledger can count.
    #[error("too great")]
    TooGreat,
}

/// How many decimal places an asset's smallest unit stands behind the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(pub u8);

/// A number without an exponent: `digits` in units of 10 to the power of minus `places`.
struct Parsed {
    digits: u128,
    places: i32,
}

/// Reads a JSON number, exponents included, or a plain decimal text.
fn parse(text: &str) -> Result<Parsed, MoneyFault> {
    let negative = text.strip_prefix('-');
    let rest = negative.unwrap_or(text);
    if rest.len() > TEXT_BYTES_MAX {
        return Err(MoneyFault::NotANumber);
    }
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let exponent: i32 = exponent.parse().map_err(|_| MoneyFault::NotANumber)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let has_point = mantissa.len() > whole.len();
    if whole.is_empty() || has_point && fraction.is_empty() || !is_digits(whole) || !is_digits(fraction) {
        return Err(MoneyFault::NotANumber);
    }
    let mut digits: u128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = u128::from(byte - b'0');
        digits = digits.checked_mul(10).and_then(|ten| ten.checked_add(digit)).ok_or(MoneyFault::TooGreat)?;
    }
    if negative.is_some() && digits > 0 {
        return Err(MoneyFault::Negative);
    }
    let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX).saturating_sub(exponent);
    Ok(Parsed { digits, places })
}

/// `digits` moved by `power` places to the left, exactly.
fn shift(digits: u128, power: i32) -> Result<Amount, MoneyFault> {
    if digits == 0 {
        return Ok(Amount::ZERO);
    }
    if power.unsigned_abs() > POWER_MAX {
        return Err(if power > 0 { MoneyFault::TooGreat } else { MoneyFault::Inexact });
    }
    let factor = 10_u128.pow(power.unsigned_abs());
    let value = if power >= 0 {
        digits.checked_mul(factor).ok_or(MoneyFault::TooGreat)?
    } else if digits.is_multiple_of(factor) {
        digits / factor
    } else {
        return Err(MoneyFault::Inexact);
    };
    if value > Amount::MAX.0 { Err(MoneyFault::TooGreat) } else { Ok(Amount(value)) }
}

impl Scale {
    /// An amount in usual units as decimal text: `2.5`, or `25e-1` as some write it in JSON.
    ///
    /// # Errors
    /// [`MoneyFault`] if it is none, or not whole in this asset's smallest unit.
    pub fn from_decimal(self, text: &str) -> Result<Amount, MoneyFault> {
        let Parsed { digits, places } = parse(text)?;
        shift(digits, i32::from(self.0).saturating_sub(places))
    }

    /// An amount as a whole number of units that stand `places` behind the usual one.
    ///
    /// # Errors
    /// [`MoneyFault`] if it is none, or not whole in this asset's smallest unit.
    pub fn from_units(self, text: &str, places: u8) -> Result<Amount, MoneyFault> {
        let whole = text.strip_prefix('-').unwrap_or(text);
        if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MoneyFault::NotANumber);
        }
        let parsed = parse(text)?;
        shift(parsed.digits, i32::from(self.0) - i32::from(places))
    }

    /// An amount in whole units that stand `places` behind the usual one, exactly, for what is asked of a provider.
    ///
    /// # Errors
    /// [`MoneyFault::Inexact`] if the amount is finer than the provider's unit.
    pub fn to_units(self, amount: Amount, places: u8) -> Result<u128, MoneyFault> {
        shift(amount.0, i32::from(places) - i32::from(self.0)).map(|value| value.0)
    }

    /// An amount to be shown in whole units that stand `places` behind the usual one, rounded down.
    #[must_use]
    pub fn show_units(self, amount: Amount, places: u8) -> u128 {
        let (here, there) = (u32::from(self.0), u32::from(places));
        if there >= here {
            amount.0.saturating_mul(10_u128.saturating_pow(there - here))
        } else {
            amount.0 / 10_u128.pow((here - there).min(POWER_MAX))
        }
    }

    /// An amount to be shown in usual units with `places` decimal places, rounded down.
    #[must_use]
    pub fn show_decimal(self, amount: Amount, places: u8) -> String {
        let units = self.show_units(amount, places);
        if places == 0 {
            return units.to_string();
        }
        let unit = 10_u128.pow(u32::from(places).min(POWER_MAX));
        format!("{}.{:0width$}", units / unit, units % unit, width = usize::from(places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EURO: Scale = Scale(6);

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, amount) in [
            ("2.5", 2_500_000),
            ("2.500000", 2_500_000),
            ("0", 0),
            ("0.000001", 1),
            ("25e-1", 2_500_000),
            ("1E2", 100_000_000),
            ("-0.0", 0),
            ("63727092.34", 63_727_092_340_000),
        ] {
            assert_eq!(EURO.from_decimal(text), Ok(Amount(amount)), "{text}");
        }
        for (text, fault) in [
            ("0.0000001", MoneyFault::Inexact),
            ("1e-7", MoneyFault::Inexact),
            ("-1", MoneyFault::Negative),
            ("1e40", MoneyFault::TooGreat),
            ("", MoneyFault::NotANumber),
            (".", MoneyFault::NotANumber),
            ("1.", MoneyFault::NotANumber),
            (".5", MoneyFault::NotANumber),
            ("+1", MoneyFault::NotANumber),
            ("1 ", MoneyFault::NotANumber),
            ("NaN", MoneyFault::NotANumber),
            ("1,5", MoneyFault::NotANumber),
            ("0x10", MoneyFault::NotANumber),
            ("1e", MoneyFault::NotANumber),
            ("340282366920938463463374607431768211456", MoneyFault::TooGreat),
        ] {
            assert_eq!(EURO.from_decimal(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn units_of_a_provider_divide_exactly_or_are_refused() {
        let cents = Scale(2);
        assert_eq!(cents.from_units("250000", 5), Ok(Amount(250)), "times 100,000");
        assert_eq!(cents.from_units("250001", 5), Err(MoneyFault::Inexact));
        assert_eq!(Scale(18).from_units("1", 5), Ok(Amount(10_000_000_000_000)));
        assert_eq!(cents.from_units("1.0", 5), Err(MoneyFault::NotANumber));
        assert_eq!(cents.from_units("1e3", 5), Err(MoneyFault::NotANumber));
        assert_eq!(cents.from_units("-5", 2), Err(MoneyFault::Negative));
    }

    /// W4: a balance is not made by taking the point out of a text.
    #[test]
    fn what_is_shown_is_rounded_down() {
        assert_eq!(EURO.show_decimal(Amount(10_500_000), 2), "10.50");
        assert_eq!(EURO.show_decimal(Amount(999), 2), "0.00");
        assert_eq!(EURO.show_decimal(Amount(1_999_999), 6), "1.999999");
        assert_eq!(Scale(18).show_units(Amount(1_999_999_999_999_999_999), 2), 199);
        assert_eq!(Scale(0).show_units(Amount(7), 5), 700_000);
        assert_eq!(Scale(2).show_decimal(Amount(10_050), 0), "100");
    }

    proptest! {
        /// W5, W13: no amount changes on its way through text, whatever the scales.
        #[test]
        fn text_and_amount_are_the_same_thing(value in 0..=Amount::MAX.0 / 1_000_000_000_000, scale in 0_u8..=18) {
            let scale = Scale(scale);
            let text = scale.show_decimal(Amount(value), scale.0);
            prop_assert_eq!(scale.from_decimal(&text), Ok(Amount(value)));
            prop_assert_eq!(scale.from_units(&value.to_string(), scale.0), Ok(Amount(value)));
            prop_assert_eq!(scale.to_units(Amount(value), scale.0), Ok(value));
        }

        #[test]
        fn what_is_shown_is_never_more_than_there_is(value in 0..1_u128 << 90, scale in 0_u8..=18, places in 0_u8..=6) {
            let shown = Scale(scale).show_decimal(Amount(value), places);
            let wide = Scale(scale.max(places));
            let there = value * 10_u128.pow(u32::from(wide.0 - scale));
            let shown = wide.from_decimal(&shown).expect("a number").0;
            prop_assert!(shown <= there && there - shown < 10_u128.pow(u32::from(wide.0 - places)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = EURO.from_decimal(&text);
            let _ = EURO.from_units(&text, 5);
        }
    }
}
