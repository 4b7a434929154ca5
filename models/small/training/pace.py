"""How far a run has got, 0 to 1, when it must end at a given time and may be stopped in between."""

import time


class Pace:
    """Ends `minutes` of wall clock after it was made. A step that took more than LONGEST counts as LONGEST, so that the
    learning rate does not jump where the process stood still; what remains is spread over the time that is left. LONGEST must be well above what a step takes."""

    LONGEST = 30.0

    def __init__(self, minutes):
        self.end, self.last, self.spent = time.time() + 60 * minutes, time.time(), 0.0

    def step(self):
        """Called once a step; how far the run has got."""
        now = time.time()
        took, self.last = min(now - self.last, self.LONGEST), now
        left = self.end - now
        self.spent = 1.0 if left <= 0 else self.spent + (1 - self.spent) * min(1.0, took / left)
        return self.spent
