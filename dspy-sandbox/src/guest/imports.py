# Runs once per machine, before the memory is saved: there are no files later, so what is not imported here is missing.
import importlib
for _name in '''
abc argparse array ast asyncio base64 binascii bisect builtins bz2 calendar cmath codecs collections collections.abc
colorsys concurrent.futures concurrent.futures.thread configparser contextlib contextvars copy copyreg csv dataclasses
datetime decimal difflib dis email email.message email.mime.text email.parser email.policy email.utils enum errno
fnmatch fractions functools gc getopt gettext glob graphlib gzip hashlib heapq hmac html html.entities html.parser
http http.client importlib.util importlib.abc importlib.resources inspect io ipaddress itertools json keyword linecache
locale logging lzma marshal math mimetypes numbers opcode operator optparse os os.path pathlib pickle pickletools
platform posixpath ntpath pprint queue quopri random re reprlib runpy sched secrets select selectors shelve shlex shutil
signal socket stat statistics string string.templatelib stringprep struct subprocess symtable sys sysconfig tarfile
tempfile textwrap threading time timeit token tokenize tomllib traceback types typing unicodedata unittest unittest.mock
urllib urllib.error urllib.parse urllib.request uuid warnings wave weakref xml.dom.minidom xml.etree.ElementTree xml.sax
xml.sax.saxutils zipfile zlib zoneinfo
_ast_unparse _collections_abc _compat_pickle _datetime _decimal _opcode_metadata _pydatetime _pydecimal _pylong
_strptime _threading_local _weakrefset _elementtree _zoneinfo __future__ annotationlib
asyncio.taskgroups asyncio.timeouts asyncio.queues
encodings.aliases encodings.ascii encodings.base64_codec encodings.charmap encodings.cp437 encodings.cp1252
encodings.hex_codec encodings.idna encodings.latin_1 encodings.iso8859_15 encodings.mac_roman encodings.punycode
encodings.raw_unicode_escape encodings.rot_13 encodings.unicode_escape encodings.utf_16 encodings.utf_16_be
encodings.utf_16_le encodings.utf_32 encodings.utf_32_be encodings.utf_32_le encodings.utf_7 encodings.utf_8
encodings.utf_8_sig encodings.zlib_codec
'''.split():
    try:
        importlib.import_module(_name)
    except ImportError:
        pass
for _name in ('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'ascii', 'latin-1', 'cp1252', 'cp437',
              'iso8859-15', 'idna', 'punycode', 'unicode_escape', 'raw_unicode_escape', 'hex', 'base64', 'rot13', 'zlib'):
    import codecs
    codecs.lookup(_name)
import datetime, time
datetime.datetime.strptime('2000-01-01', '%Y-%m-%d')

