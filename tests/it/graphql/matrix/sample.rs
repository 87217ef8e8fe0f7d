//! Values of any serde type, made up: every variant of an enum, and from each every single other choice that its type
//! leaves open (another variant, an option given or not). So that what depends on a value is found without a list.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::de::{Error as _, IntoDeserializer};
use std::cell::RefCell;

/// Texts, of which each checked text of the domain takes one. The first that is taken is used.
const TEXTS: [&str; 15] = [
    "x",
    "00000000-0000-4000-8000-000000000001",
    "somebody@example.org",
    "https://example.org",
    "2026-06-01T12:00:00Z",
    "2026-06-01",
    "12:00",
    "UTC",
    "EUR",
    "#aabbcc",
    "+31 20 123 4567",
    "viewer",
    "pipelines.read",
    "custom.x",
    // 256 bits in hexadecimal: hashes of tokens and of files.
    "0000000000000000000000000000000000000000000000000000000000000000",
];
/// Numbers, likewise.
const NUMBERS: [u8; 4] = [1, 0, 10, 100];

/// A choice that was made: the one of so many. A matter of form is varied; of values, any that is taken will do.
#[derive(Clone, Copy, Debug)]
struct Choice {
    taken: usize,
    of: usize,
    is_form: bool,
}

#[derive(Debug, Default)]
struct Choices {
    planned: Vec<usize>,
    made: Vec<Choice>,
}

/// Makes one value, by the choices planned and the first ones from there on.
struct Sampler {
    choices: RefCell<Choices>,
    /// Are options given unless planned otherwise?
    gives_options: bool,
    /// The fields of flattened structs, which serde names only by missing them.
    missed: Vec<String>,
}

impl Sampler {
    fn choose(&self, of: usize, is_form: bool) -> usize {
        let mut choices = self.choices.borrow_mut();
        let taken = choices.planned.get(choices.made.len()).copied().unwrap_or(0);
        choices.made.push(Choice { taken, of, is_form });
        taken
    }
}

/// The value of these choices; where a made-up text or number is refused, the next one is tried.
fn make<T: DeserializeOwned>(mut planned: Vec<usize>, gives_options: bool) -> Result<(T, Vec<Choice>), String> {
    let fixed = planned.clone();
    let (mut missed, mut left, mut deepest) = (vec![], 50_000, (0, String::new()));
    loop {
        let sampler = Sampler { choices: RefCell::new(Choices { planned, made: vec![] }), gives_options, missed };
        let outcome = T::deserialize(&sampler);
        missed = sampler.missed;
        let made = sampler.choices.into_inner().made;
        let error = match outcome {
            Ok(value) => return Ok((value, made)),
            Err(error) => error,
        };
        if let Some(field) = error.to_string().strip_prefix("missing field `").and_then(|rest| rest.split('`').next())
            && !missed.iter().any(|known| known == field)
        {
            missed.push(field.to_owned());
            planned = fixed.clone();
            continue;
        }
        let next = made.iter().enumerate().skip(fixed.len()).rfind(|(_, choice)| !choice.is_form && choice.taken + 1 < choice.of);
        if made.len() > deepest.0 {
            deepest = (made.len(), error.to_string());
        }
        left -= 1;
        let Some((at, choice)) = next.filter(|_| left > 0) else {
            return Err(format!(
                "no made-up text or number suits a {}: {}. Add one that does to TEXTS of tests/it/graphql/matrix/sample.rs",
                std::any::type_name::<T>(),
                deepest.1
            ));
        };
        planned = made[..at].iter().map(|choice| choice.taken).chain([choice.taken + 1]).collect();
    }
}

/// For each variant of an enum: one value with everything at its first choice, and then each other one.
pub(super) fn samples<T: DeserializeOwned>(gives_options: bool) -> Result<Vec<Vec<T>>, String> {
    let (_, first) = make::<T>(vec![], gives_options)?;
    let variants = first.first().map_or(1, |choice| choice.of);
    (0..variants)
        .map(|variant| {
            let (value, made) = make::<T>(vec![variant], gives_options)?;
            let mut values = vec![value];
            for (at, choice) in made.iter().enumerate().skip(1).filter(|(_, choice)| choice.is_form) {
                for other in (0..choice.of).filter(|other| *other != choice.taken) {
                    let planned = made[..at].iter().map(|choice| choice.taken).chain([other]).collect();
                    values.push(make::<T>(planned, gives_options)?.0);
                }
            }
            Ok(values)
        })
        .collect()
}

macro_rules! numbers {
    ($($method:ident => $visit:ident($kind:ty),)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(<$kind>::from(NUMBERS[self.choose(NUMBERS.len(), false)]))
        }
    )*};
}

impl<'de> Deserializer<'de> for &Sampler {
    type Error = Error;

    numbers! {
        deserialize_u8 => visit_u64(u64), deserialize_u16 => visit_u64(u64), deserialize_u32 => visit_u64(u64), deserialize_u64 => visit_u64(u64),
        deserialize_i8 => visit_i64(i64), deserialize_i16 => visit_i64(i64), deserialize_i32 => visit_i64(i64), deserialize_i64 => visit_i64(i64),
        deserialize_f32 => visit_f64(f64), deserialize_f64 => visit_f64(f64),
    }

    /// Free JSON, or a type that looks at what comes: nothing, or else a text, a number, a boolean.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.choose(TEXTS.len() + 3, false) {
            0 => visitor.visit_unit(),
            1 => visitor.visit_bool(false),
            2 => visitor.visit_u64(1),
            text => visitor.visit_str(TEXTS[text - 3]),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(TEXTS[self.choose(TEXTS.len(), false)])
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.choose(2, true) == 1)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_char('x')
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if (self.choose(2, true) == 1) == self.gives_options { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(&[])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(&[])
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { sampler: self, left: 1 })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { sampler: self, left })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { sampler: self, left })
    }

    /// Maps are empty but for what was missed: what their keys may be, nobody says.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { sampler: self, names: self.missed.iter().map(String::as_str).collect() })
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, names: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { sampler: self, names: names.to_vec() })
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, names: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let name = names.get(self.choose(names.len(), true)).ok_or_else(|| Error::custom("an enum without variants"))?;
        visitor.visit_enum(Variant { sampler: self, name })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("names of fields and variants are given, not asked for"))
    }
}

struct Elements<'a> {
    sampler: &'a Sampler,
    left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.sampler).map(Some)
    }
}

struct Fields<'a> {
    sampler: &'a Sampler,
    names: Vec<&'a str>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.names.is_empty() {
            return Ok(None);
        }
        let name: StrDeserializer<'_, Error> = self.names.remove(0).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.sampler)
    }
}

struct Variant<'a> {
    sampler: &'a Sampler,
    name: &'static str,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.sampler)
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Elements { sampler: self.sampler, left })
    }

    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Fields { sampler: self.sampler, names: names.to_vec() })
    }
}

#[test]
fn a_value_of_every_form_is_made_and_every_text_suits_its_rule() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    enum Form {
        Bare,
        Full { id: domain::UserId, email: domain::Email, open: bool, more: Option<domain::Url> },
    }
    let made = samples::<Form>(false).unwrap();
    assert_eq!((made.len(), &made[0], made[1].len()), (2, &vec![Form::Bare], 3));
    let given = |form: &Form| matches!(form, Form::Full { open, more, .. } if *open || more.is_some());
    assert_eq!(made[1].iter().map(given).collect::<Vec<_>>(), [false, true, true]);
}
