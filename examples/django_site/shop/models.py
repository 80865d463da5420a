"""What the shop keeps."""

from django.db import models


class Order(models.Model):
    """Somebody wants something."""

    customer = models.CharField(max_length=100)
    confirmed = models.BooleanField(default=False)
