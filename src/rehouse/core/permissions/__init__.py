"""The IAM rights that rehouse needs, as a table and as policy documents."""
