"""The coordinator: storage, services and API of those who hand out tunnels.

``storage`` keeps it (SQLite or PostgreSQL), ``services`` decides (one file an idea, time as an argument),
``api`` is thin routers over them. `coordinator.app.create` makes the application, `coordinator.serving`
serves it.
"""

try:
    import alembic as _alembic
    import cryptography as _cryptography
    import fastapi as _fastapi
    import prometheus_client as _prometheus_client
    import sqlalchemy as _sqlalchemy
    import uvicorn as _uvicorn
except ImportError as error:  # pragma: no cover - the tests install them
    raise ImportError(
        f"wirewright.coordinator needs {error.name}: pip install 'wirewright[serve]'", name=error.name
    ) from None

del _alembic, _cryptography, _fastapi, _prometheus_client, _sqlalchemy, _uvicorn
