"""What is done later; a worker finds the module ``tasks`` of every installed app by itself."""

from shop.models import Order

try:
    from django.tasks import task
except ImportError:  # before Django 6.0
    from django_tasks import task


@task()
def confirm(order_id: int) -> str:
    order = Order.objects.get(pk=order_id)
    order.confirmed = True
    order.save()
    return f"order of {order.customer} confirmed"
