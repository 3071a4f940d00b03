"""Executes phases: one attempt as a pipeline, a worker that leases runs, batches across runs. Asynchronous."""
