"""Forms of datasets that are not made from a Spec."""

from django import forms


class RowMarkForm(forms.Form):
    """What a curator marks on one row."""

    excluded = forms.BooleanField(
        label="Leave this row out of new tokenizations", required=False, help_text="It stays in the dataset."
    )
    tags = forms.CharField(label="Tags", max_length=200, required=False, help_text="Words separated by commas.")
    text = forms.CharField(
        label="Text in place of the row's own",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        help_text="Used by new tokenizations; empty: the row's own text. The stored row does not change.",
    )
    note = forms.CharField(label="Note", required=False, widget=forms.Textarea(attrs={"rows": 2}))
