"""The named endpoints of the page, for programs: the commands of the command line, asked over HTTP.

Imports cli and the rest of ui.
"""
