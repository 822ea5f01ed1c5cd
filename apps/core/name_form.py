"""The form that gives a row another name."""

from django import forms


class NameForm(forms.Form):
    """Another name."""

    name = forms.CharField(label="Name", max_length=200)
