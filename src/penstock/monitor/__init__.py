"""What people look at: pages, figures and health of a running stream, and of one that has ended.

Nothing of it is loaded unless it is used. ``web`` says what a page is, ``feed`` what is pushed to it,
``guard`` who may ask, and ``server`` answers; ``server`` alone knows the web server.
"""
