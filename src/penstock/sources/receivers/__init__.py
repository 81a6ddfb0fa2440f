"""What comes by itself: receivers, and the blocks that they store.

``receiver`` is the class that a program derives from, ``receiving`` lets it live and gives its blocks to
batches; ``intake`` cuts blocks and limits the rate, ``block_store`` and ``blocks`` keep them,
``received_log`` makes them durable. ``sockets`` are our own receivers, over ``line_cutter`` and
``line_protocol``; ``line_sender`` and ``outgoing`` are the other side of the line.
"""
