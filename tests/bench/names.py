"""What several of the bench's processes must agree on."""

# The namespace of the yardstick's workflows.
BARE = "bare"
