"""An order and its job are stored together, or neither is."""

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from shop.models import Order
from shop.tasks import confirm


@csrf_exempt  # an example without pages
@require_POST
def orders(request: HttpRequest) -> JsonResponse:
    with transaction.atomic():
        order = Order.objects.create(customer=request.POST["customer"])
        result = confirm.enqueue(order.pk)
    return JsonResponse({"status": reverse("status", args=[result.id])}, status=202)


def status(request: HttpRequest, result_id: str) -> JsonResponse:
    result = confirm.get_result(result_id)
    told = {"status": result.status, "errors": [error.traceback for error in result.errors]}
    if result.status == "SUCCESSFUL":
        told["result"] = result.return_value
    return JsonResponse(told)
