"""The app that the files of this folder deploy."""
