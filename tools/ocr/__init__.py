"""Reading text from images with models that come with the package rapidocr (PP-OCR, Apache 2.0); nothing is downloaded.

reading.py  runs in a child process (`tools/run_sandboxed.py`): decoders of images are an old way into programs
"""
