"""Forms of the settings page that are not made from a Spec."""

from django import forms
from django.contrib.auth.models import AbstractUser


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

    def __init__(self, user: AbstractUser, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        if not user.has_usable_password():
            del self.fields["old"]

    def clean_old(self) -> str:
        old = self.cleaned_data["old"]
        if not self.user.check_password(old):
            raise forms.ValidationError("This is not the present password.")
        return old


class TokenForm(forms.Form):
    """A new API token."""

    name = forms.CharField(label="Name", max_length=80, help_text="What the token is for, such as: laptop notebook.")
