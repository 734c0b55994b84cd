"""What is committed beside an offset.

`origin.py`: which cluster and topics it belongs to. `marks.py`: what became of the partition. `lost_offsets.py` refuses
to begin where all of this is gone.
"""
