"""Training arguments, described for a form."""

from typing import Any

from tunesmith.spec import ARGUMENT_ALIASES, RECOMMENDED_BY_METHOD, TrainingArguments


def training_schema() -> list[dict[str, Any]]:
    """Describe every training argument for a form: name, type, default, bounds, range, group."""
    properties = TrainingArguments.model_json_schema()["properties"]
    return [_describe(name, properties[name]) for name in TrainingArguments.model_fields]


def _describe(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    options = schema.get("anyOf", [schema])
    value = next(option for option in options if option.get("type") != "null")
    nullable = any(option.get("type") == "null" for option in options)
    choices = value.get("enum") or ([value["const"]] if "const" in value else None)
    if any(option.get("type") == "boolean" for option in options) and len(options) > 1:
        return _describe_switch(name, schema)
    bounds = schema["bounds"]
    return {
        "name": name,
        "type": "choice" if choices and len(options) == 1 else value.get("type", "string"),
        "default": schema.get("default"),
        "nullable": nullable,
        "choices": choices,
        "minimum": bounds.get("ge", bounds.get("gt")),
        "minimumExclusive": "gt" in bounds,
        "maximum": bounds.get("le", bounds.get("lt")),
        "maximumExclusive": "lt" in bounds,
        "recommended": schema["recommended"],
        "recommendedByMethod": RECOMMENDED_BY_METHOD.get(name, {}),
        "group": schema["group"],
        "section": "basic" if schema["group"] == "basic" else "advanced",
        "unit": schema["unit"],
        "aliases": [short for short, full in ARGUMENT_ALIASES.items() if full == name],
    }


def _describe_switch(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A switch with a third position: "auto"."""
    named = next(option["const"] for option in schema["anyOf"] if "const" in option)
    plain = {**schema, "enum": [named, True, False]}
    return _describe(name, {key: value for key, value in plain.items() if key != "anyOf"})
