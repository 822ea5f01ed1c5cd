"""Forms of the settings page that are not made from a Spec."""

from axes.utils import reset
from django import forms
from django.contrib.auth import authenticate
from django.http import HttpRequest

from apps.core.client_address import client_address


class SecretForm(forms.Form):
    """One credential: always shown empty; an empty submit keeps what is stored."""

    value = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class PasswordForm(forms.Form):
    """A new password; the old one is asked for when there is one."""

    old = forms.CharField(
        label="Present password", widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}), strip=False
    )
    password = forms.CharField(
        label="New password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        strip=False,
        help_text="Ten characters at least. With it you can sign in without an entry link.",
    )

    def __init__(self, request: HttpRequest, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        if not request.user.has_usable_password():
            del self.fields["old"]

    def clean_old(self) -> str:
        """Guesses count towards the sign-in's lock-out, and the right password ends their count as a sign-in does."""
        old, name = self.cleaned_data["old"], self.request.user.get_username()
        if authenticate(self.request, username=name, password=old) is None:
            raise forms.ValidationError("This is not the present password.")
        reset(username=name, ip=client_address(self.request))
        return old
