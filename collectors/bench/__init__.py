"""`permillion bench`: a load test of any OpenAI-compatible endpoint whose figures can be trusted and read back.

`request` says what to do and `run` does it; `command` is its verb. `lengths`, `prompts`, `figures`, `measure`, `notes`
are pure. `endpoint`, `stream` and `load` know the network and time. `report` is what comes out, `evidence` its file.
"""
