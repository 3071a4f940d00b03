"""The statements of the discovery application, built once so that writes are joined; every one filters by the tenant."""
