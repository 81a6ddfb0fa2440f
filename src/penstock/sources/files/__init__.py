"""Files: which ones a stream takes and when, and how their records are read.

``looking`` finds what is new, ``waiting`` decides what goes into a batch, ``settling`` archives or deletes
what a batch has read; ``source`` puts them together. ``listing`` is for the batch readers of a context. All
else reads partitions: ``planned`` and ``codecs`` open files, ``text``, ``records``, ``fixed``, ``numbered``
and ``input_format`` make records of them.
"""
