"""LMCache's server with Kvasir's policies. Runs in the engine's Python, which has LMCache and does not have Kvasir.

With `backend/vllm_connector`, the only code that knows LMCache's classes; read against LMCache 0.5.6 and 0.5.3, whose
differences are in `release`. What it decides is in `backend.tiers`.
"""
