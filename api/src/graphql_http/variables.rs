//! Do the given variables fit their declared types? async-graphql asks that of arguments only, and only while it
//! executes does it notice that a required variable is missing; the specification wants it known before.

use async_graphql::{
    Name, Positioned, ServerError, Value, Variables,
    parser::types::VariableDefinition,
    registry::{MetaType, MetaTypeName, Registry},
};

use super::code::Code;

/// One error for each variable that does not fit.
pub(super) fn misfits(registry: &Registry, definitions: &[Positioned<VariableDefinition>], given: &Variables) -> Vec<ServerError> {
    let misfit = |definition: &Positioned<VariableDefinition>| {
        let VariableDefinition { name, var_type, default_value, .. } = &definition.node;
        let declared = var_type.node.to_string();
        let (at, rule) = match given.get(&name.node) {
            None if var_type.node.nullable || default_value.is_some() => return None,
            None => (String::new(), "a value is required".to_owned()),
            Some(value) => broken_rule(registry, &declared, value, String::new())?,
        };
        let message = format!("Variable `${}{at}` of type `{declared}`: {rule}.", name.node);
        Some(Code::VariablesInvalid.error(message, Some(definition.pos)))
    };
    definitions.iter().filter_map(misfit).collect()
}

/// Where in the value, and what should be there. A type the schema does not know is left to validation.
fn broken_rule(registry: &Registry, declared: &str, value: &Value, at: String) -> Option<(String, String)> {
    match (MetaTypeName::create(declared), value) {
        (MetaTypeName::NonNull(_), Value::Null) => Some((at, "null is not allowed".to_owned())),
        (MetaTypeName::NonNull(inner), _) => broken_rule(registry, inner, value, at),
        (_, Value::Null) => None,
        (MetaTypeName::List(inner), Value::List(items)) => {
            items.iter().enumerate().find_map(|(index, item)| broken_rule(registry, inner, item, format!("{at}[{index}]")))
        }
        (MetaTypeName::List(inner), one) => broken_rule(registry, inner, one, at),
        (MetaTypeName::Named(name), _) => match registry.types.get(name)? {
            MetaType::Scalar { is_valid, .. } => {
                let fits = is_valid.as_ref().is_none_or(|is_valid| is_valid(value));
                (!fits).then(|| (at, format!("the value is not a `{name}`")))
            }
            MetaType::Enum { enum_values, .. } => {
                let known = match value {
                    Value::String(text) => enum_values.contains_key(text),
                    Value::Enum(text) => enum_values.contains_key(text.as_str()),
                    _ => false,
                };
                let all = || enum_values.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                (!known).then(|| (at, format!("the value must be one of {}", all())))
            }
            MetaType::InputObject { input_fields, oneof, .. } => {
                let Value::Object(members) = value else {
                    return Some((at, format!("the value must be an object of type `{name}`")));
                };
                if let Some(unknown) = members.keys().find(|key| !input_fields.contains_key(key.as_str())) {
                    return Some((at, format!("`{name}` has no field `{unknown}`")));
                }
                if *oneof && (members.len() != 1 || members.values().any(|member| *member == Value::Null)) {
                    return Some((at, format!("`{name}` needs exactly one field, and that one not null")));
                }
                input_fields.values().find_map(|field| match members.get(&Name::new(&field.name)) {
                    Some(member) => broken_rule(registry, &field.ty, member, format!("{at}.{}", field.name)),
                    None => (field.ty.ends_with('!') && field.default_value.is_none())
                        .then(|| (at.clone(), format!("field `{}` of `{name}` is required", field.name))),
                })
            }
            _ => None,
        },
    }
}
