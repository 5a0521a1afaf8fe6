"""OCR with the models included in the package rapidocr (PP-OCR, Apache 2.0); nothing is downloaded.

recognition.py  runs in a child process (`tools/run_sandboxed.py`), since image decoders are a classic attack surface
"""
