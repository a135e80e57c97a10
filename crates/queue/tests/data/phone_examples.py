#!/usr/bin/env python3
"""Writes phone_examples.csv, the example numbers of libphonenumber for all regions and types.

    pip install phonenumbers==9.0.43 && python3 phone_examples.py > phone_examples.csv

Source: https://pypi.org/project/phonenumbers/ (Apache-2.0), a port of https://github.com/google/libphonenumber
(Apache-2.0). The numbers are the library's own; E.164 and national form are written by it as well.
"""

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType, phonenumberutil

TYPES = {number: name for name, number in vars(PhoneNumberType).items() if isinstance(number, int)}


def row(region, kind, number):
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    print(region, TYPES[kind].lower(), e164, national, sep=";")


print(f"# Example numbers of libphonenumber by PyPI phonenumbers {phonenumbers.__version__}, Apache-2.0; phone_examples.py")
print("# region;type;E.164;national")
for region in sorted(phonenumbers.SUPPORTED_REGIONS):
    for kind in sorted(TYPES):
        number = phonenumbers.example_number_for_type(region, kind)
        if number is not None:
            row(region, kind, number)
# Codes of no country, such as +800, have no region to be written for.
for code in sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS):
    metadata = PhoneMetadata.metadata_for_nongeo_region(code)
    for kind in sorted(set(TYPES) - {PhoneNumberType.UNKNOWN}):
        desc = phonenumberutil._number_desc_by_type(metadata, kind)
        if desc is not None and desc.example_number is not None:
            row("001", kind, phonenumbers.parse(f"+{code}{desc.example_number}"))
