"""The console: the web page that headrace serves under `/console/`, and how it is built. Its sources lie in `web/`."""
