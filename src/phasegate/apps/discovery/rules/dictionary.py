"""The words of headings: those of one meaning, those that say nothing or something else, units, and words in values.

What whole headings mean is in ``headings``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from phasegate.apps.discovery.rules.headings import BY_VALUES, CLEAR, LOOSE
from phasegate.apps.discovery.schema import CUSTOM, FIELDS


def _by_word(table: str) -> dict[str, str]:
    """What stands before the colon for every word after it, from "meaning: word word; meaning: word"."""
    pairs = (each.split(":", 1) for each in table.split(";"))
    return {word: meaning.strip() for meaning, words in pairs for word in words.split()}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: The word or words that others stand for: short forms and second spellings, then German, French and Spanish (without
#: accents, as tokens are).
WORDS = _by_word("""
number: no num nr nbr nmbr count qty quantity; percent: pct perc percentage; address: addr adr addrs; memory: mem ram;
cpu: vcpu processor proc; disk: disc; application: app appl; database: db; environment: env envt envir; department:
dept dpt; location: loc; data center: datacenter datacentre dc; center: centre ctr; operating system: os; system: sys;
operating: oper op; version: ver vers; utilization: util utilisation usage utilized utilised; manufacturer: mfr mfg
mfgr manuf; description: desc descr; business: biz bus; technology: tech technical; management: mgmt; manager: mgr;
maintenance: maint; id: identifier ident; average: avg; virtualization: virtualisation virt; organization:
organisation org; organizational: organisational; group: grp; service: svc; server: srv svr; criticality: crit;
priority: prio; expiry: expiration expires expire exp expired; date: dt; level: lvl; frequency: freq; hardware: hw;
software: sw; network: nw net; virtual machine: vm; serial: ser; requirement: req; administrator: admin; estimated:
est; cost: spend; monthly: month; purchase: purch; geographic: geo geographical; name: nm; code: cd; indicator: ind;
flag: flg; category: cat; position: pos; model: mdl; status: stat sts; total: tot; size: sz; full domain name: fqdn;
name: nom naam nome; host: hote; host name: hostname rechnername; device name: geratename geraetename; server: serveur
servidor; machine: maschine maquina; device: gerat geraet appareil dispositivo equipo; computer: rechner ordinateur
ordenador; type: typ tipo; category: kategorie categorie categoria; address: adresse direccion; serial number:
seriennummer; serial: serie; number: nummer anzahl numero nombre; operating system: betriebssystem; operating:
exploitation operativo; system: systeme sistema; memory: arbeitsspeicher hauptspeicher memoire memoria; disk:
festplatte disque disco; storage: speicherplatz stockage almacenamiento; core: kern kerne coeur nucleo nucleos; cpu
core: prozessorkern prozessorkerne; cpu: prozessor processeur procesador; manufacturer: hersteller fabricant
constructeur fabricante; vendor: lieferant anbieter fournisseur proveedor; model: modell modele modelo; location:
standort emplacement lieu ubicacion; environment: umgebung environnement entorno; department: abteilung departement
departamento; cost center: kostenstelle; center: centro; cost: kosten cout coste costo costos; owner: own besitzer
eigentumer eigentuemer verantwortlicher proprietaire responsable propietario; business: fachlicher metier negocio;
technology: technischer technique tecnico; description: beschreibung descripcion; comment: bemerkung anmerkung
kommentar remarque commentaire comentario comentarios observaciones; status: statut; state: zustand etat estado;
criticality: kritikalitat kritikalitaet criticite criticidad; priority: prioritat prioritaet priorite prioridad; date:
datum fecha; purchase date: kaufdatum anschaffungsdatum; purchase: achat compra; warranty: garantie garantia; until:
bis hasta; end: ende fin; application: anwendung applikation aplicacion; database: datenbank; risk: risiko risque
riesgo; data center: rechenzentrum; rack: schrank baie; monthly: monatlich mensuel mensual; role: rolle rol; function:
funktion fonction funcion; network: netzwerk reseau; backup: sicherung sauvegarde respaldo; dependency: abhangigkeit
abhangigkeiten abhaengigkeiten dependance dependencia; size: grosse groesse taille tamano; user: benutzer utilisateur
usuario
""")

#: Words that say nothing about which thing is meant.
FILLERS = _set(
    "a an and are at by for has in is of on or per the to with d de del der des die du el en et im l la le les und von y"
)
#: Words after which a heading only says where it has its value from, or of which thing.
TURNS = _set("according as for from of per")
#: Words for the asset itself, and marks that tools put before a name. "Server IP" is the asset's address.
OWN = _set(
    "asset ci server machine virtual device system computer node resource instance u x cmdb "
    "configuration item inventory equipment object"
)
#: Further words that change nothing about a field that does not tell assets apart.
OWN_LOOSELY = _set(
    "primary main current application component hardware infrastructure average max maximum peak total overall mean"
)
#: Words at the end of a heading that add nothing to a field that does not tell assets apart.
ENDINGS = _set("name code value info information detail field text description list")
#: Words that make another thing of what they stand with, and that are no misspelling of a similar word.
OTHERS = _set(
    "alternate antivirus available backup broadcast child cluster contract customer default destination disaster dr email "
    "external folder former free gateway guest ilo invoice legacy license loopback manager mask menu next old order parent "
    "partner password path phone planned port pool previous primary proposed public recommended recovery remaining remote "
    "retired secondary source standby subnet subscription switch target template ticket url used user vip vlan"
)

#: What is measured in a unit, so that "CPU (MHz)" is no number of cores.
UNITS = _by_word("""
size: kb kib mb go mo mib gb gib tb tib pb byte bytes;
percent: percent pct;
rate: kbps mbps gbps mbit mbits gbit gbits;
money: usd eur gbp chf dollar dollars euro euros;
other: hz mhz ghz watt watts kw kva sec secs seconds minutes hours hrs days weeks months years
""")
#: The units in which the schema counts; another unit of the same kind means that the values must be converted.
SCHEMA_UNITS = _set("gb gib go percent pct mbps mbit mbits usd eur gbp chf dollar dollars euro euros")
#: What each measured field is measured in.
MEASURES = _by_word("""
size: memory_gb storage_gb database_size_gb;
percent: cpu_utilization_percent memory_utilization_percent;
rate: network_throughput_mbps;
money: current_monthly_cost estimated_cloud_cost
""")

#: Words in values, one of which tells what the column is.
VALUE_WORDS: dict[str, frozenset[str]] = {
    "operating_system": _set(
        "windows win linux ubuntu debian rhel redhat centos rocky almalinux suse sles fedora aix solaris hpux ux unix bsd "
        "freebsd macos esxi ios nxos junos android photon alpine"
    ),
    "environment": _set(
        "prod production prd dev development test tst qa uat stage staging stg sit dr disaster sandbox training preprod "
        "nonprod lab pilot live acceptance"
    ),
    "asset_type": _set(
        "server srv database db application app component network router switch firewall storage container virtual vm "
        "machine balancer security laptop desktop workstation printer san nas hypervisor"
    ),
    "six_r_strategy": _set("rehost replatform refactor rearchitect replace retire retain repurchase relocate"),
    "operational_status": _set("running stopped up down online offline powered poweredon poweredoff suspended on off"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A variant of a field's name; ``grade`` is equal (the name itself), clear, loose or values."""

    field: str
    grade: str
    variant: str


def entries() -> Iterator[Entry]:
    """Every variant of every field, the surest ones first."""
    yield from (Entry(field, "equal", field.replace("_", " ")) for field in (*FIELDS, CUSTOM))
    for grade, table in (("clear", CLEAR), ("loose", LOOSE), ("values", BY_VALUES)):
        yield from (Entry(field, grade, variant) for field, variants in table.items() for variant in variants)


def canonical(words: Iterable[str]) -> tuple[str, ...]:
    """The words in the singular, short forms written out, without those that say nothing."""
    found = (_written_out(word) for word in words if word not in FILLERS)
    return tuple(part for word in found for part in word.split())


def _written_out(word: str) -> str:
    return WORDS.get(word) or WORDS.get(_singular(word), _singular(word))


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith(("ies", "sses")):
        return word[:-3] + "y" if word.endswith("ies") else word[:-2]
    plural = len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "is", "os", "ias", "status", "campus"))
    return word[:-1] if plural else word
