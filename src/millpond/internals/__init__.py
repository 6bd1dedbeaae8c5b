"""What Millpond uses of Dagster, dbt, PyIceberg and dlt beyond what they document.

Each such name is imported here once, and from here by the rest of the code. Look here first when a new
release changes something. Imports nothing of Millpond, so every package may import it. Start reading in
`dagster`.
"""

from millpond.internals.on_demand import import_alembic_late

import_alembic_late()
