"""Work while no worker runs: `standing_in.py` keeps workers out, `states.py` has all states; the others use them."""
