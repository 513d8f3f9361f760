"""The YAML configuration: loading, checking, its schema, selection and column templates."""
