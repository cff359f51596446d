"""A small dictionary of statistics: words that mean the same, in English, Malay and Indonesian.

General words only: what the chapters of any statistics yearbook are about. What one table calls its columns is not
listed here; it is found by its letters, by the values beside it, or by the collection's embedder (``residue``).

Each line: the phrase that stands for all of them, then the others; everything folded.
"""

from __future__ import annotations

__all__ = ["ALIASES", "CONCEPTS", "DOERS", "VERBS"]

#: Names of places, of days and of persons' sexes, which occur as values.
ALIASES = """
kuala lumpur: kl, wpkl, w p kuala lumpur, wp kuala lumpur, wilayah persekutuan kuala lumpur
kuala lumpur: federal territory of kuala lumpur
putrajaya: w p putrajaya, wp putrajaya, wilayah persekutuan putrajaya, federal territory of putrajaya
labuan: w p labuan, wp labuan, wilayah persekutuan labuan, federal territory of labuan
negeri sembilan: n sembilan, n9, negri sembilan, nsembilan
pulau pinang: penang, p pinang, pinang
melaka: malacca
johor: johore
terengganu: trengganu
jakarta: dki jakarta
yogyakarta: di yogyakarta, d i yogyakarta, jogjakarta
monday: mon, isnin, senin
tuesday: tue, tues, selasa
wednesday: wed, rabu
thursday: thu, thur, thurs, khamis, kamis
friday: fri, jumaat, jumat
saturday: sat, sabtu
sunday: sun, ahad
male: males, men, man, boys, boy, lelaki, laki laki, pria
female: females, women, woman, girls, girl, perempuan, wanita
"""

#: Indicators, which occur as names of columns and tables, and as values.
CONCEPTS = """
cpi: consumer price index, consumer prices, consumer price, indeks harga pengguna, ihp, indeks harga konsumen, ihk
gdp: gross domestic product, keluaran dalam negeri kasar, kdnk, produk domestik bruto, pdb
gni: gross national income, pendapatan negara kasar
ppi: producer price index, producer prices, producer price, indeks harga pengeluar, indeks harga produsen
mean: average, avg, purata, rata rata
median: penengah, pertengahan
income: pendapatan, earnings, earn, earns, earned, penghasilan
salary: salaries, wage, wages, gaji, upah, gehalt, gehalter, lohn, sueldo, sueldos, salario, salarios
expenditure: spending, spend, spends, spent, perbelanjaan, belanja, berbelanja, pengeluaran isi rumah
expenditure: pengeluaran rumah tangga
poverty: kemiskinan, miskin, poor
population: penduduk, inhabitants, residents, resident, populasi, people, orang, live, lives, lived, living, tinggal
population: menetap, pop, einwohner, bevolkerung, habitantes, poblacion
unemployment: pengangguran, jobless, joblessness, unemployed, penganggur, menganggur
employment: employed, guna tenaga, gunatenaga, bekerja, penduduk bekerja
labour: labor, buruh
labour force: tenaga buruh, tenaga kerja, angkatan kerja, workforce, labor force
participation: penyertaan, partisipasi, participate, participated
job: pekerjaan, jobs, occupation, occupations
inflation: inflasi
growth: pertumbuhan
food: makanan, foods
beverage: beverages, minuman, drink, drinks
transport: pengangkutan, transportation, transportasi
health: kesihatan, kesehatan, healthcare
education: pendidikan
housing: perumahan
dwelling: tempat kediaman, living quarters, unit perumahan
utilities: utiliti, utility
communication: communications, komunikasi, perhubungan
recreation: rekreasi
culture: budaya, kebudayaan, cultural
clothing: pakaian, apparel, clothes
footwear: kasut, shoes
furnishings: perabot, kelengkapan, furniture, hiasan
alcohol: alkohol, alcoholic
tobacco: tembakau
hospitality: restaurants, hotels, restoran, hotel, penginapan
misc: miscellaneous, pelbagai
overall: total, headline, all items, semua, keseluruhan, jumlah, general, semua item, total all
economy: ekonomi, economic
agriculture: pertanian, agri, agricultural
fishery: perikanan, fisheries, fishing
forestry: perhutanan, kehutanan
livestock: ternakan, peternakan
manufacturing: pembuatan, perkilangan
services: perkhidmatan, service
construction: pembinaan, konstruksi
mining: perlombongan, pertambangan
quarrying: kuari, pengkuarian
export: exports, exported, eksport, ekspor, dieksport
import: imports, imported, impor, diimport
trade: perdagangan, dagangan
balance: imbangan, neraca
birth: live births, live birth, kelahiran hidup, births, kelahiran, born alive, born, dilahirkan, lahir, newborns
birth: newborn, babies, baby, bayi
death: deaths, kematian, die, died, dies, meninggal, meninggal dunia, passed away, mortality
marriage: marriages, perkahwinan, married, marry, berkahwin, kahwin, perkawinan, menikah
divorce: divorces, divorced, perceraian, bercerai, cerai
fertility: kesuburan
household: households, isi rumah, rumah tangga
state: negeri, states, provinsi, province, provinces
district: daerah, districts, kabupaten
country: negara, countries, pais
city: bandar, cities, stadt, ciudad
year: tahun, jahr, jahre, ano, anos
month: bulan, monat, mes
quarter: suku tahun, suku, kuartal, quartal, trimestre
date: tarikh, tanggal, datum, fecha
sex: jantina, gender, jenis kelamin
age: umur, usia, aged, berumur, berusia, ages, edad
ethnicity: etnik, kaum, race, ethnic, suku bangsa
religion: agama
citizen: citizens, warganegara
non citizen: noncitizen, non citizens, bukan warganegara, foreigners
area: keluasan, luas
density: kepadatan
price: harga, kos, biaya, prices, cost, costs, costing, expensive, preis, preise, precio, precios
tax: cukai, pajak
primary school: sekolah rendah, primary schools, sekolah dasar
secondary school: sekolah menengah, secondary schools
school: sekolah, schools
enrolment: enrolments, enrollment, enrolmen, enrolled, enrol
student: murid, pelajar, students, pupil, pupils, siswa, schuler, alumno, alumnos
teacher: guru, teachers, lehrer, profesor
literacy: celik huruf, melek huruf, literate
university: universiti, universitas, universities
hospital: hospitals, rumah sakit
clinic: klinik, clinics
bed: katil, beds, tempat tidur
doctor: doktor, doctors, physician, physicians, dokter, arzt, medico
nurse: jururawat, nurses, perawat
case: cases, kes, kasus
new: baharu, baru
recovered: recoveries, recovery, sembuh, pulih
active: aktif
vaccination: vaccinations, vaccinated, vaksinasi, vaksin, divaksin
production: pengeluaran, produksi, produce, produced, produces, dihasilkan
consumption: penggunaan, konsumsi, consume, consumed, consumes
passenger: passengers, penumpang
revenue: revenues, hasil, umsatz
debt: hutang, utang
interest rate: kadar faedah, suku bunga, interest rates
rural: luar bandar, pedesaan
industrial: industri, industry, industries
commercial: komersial
forest: forests, hutan
emission: emissions, pelepasan, emisi
internet: jalur lebar, broadband
crime: jenayah, crimes, kejahatan
accident: kemalangan, kecelakaan, accidents
vehicle: kenderaan, vehicles, kendaraan
car: kereta, cars, mobil, motorcar, motorcars
motorcycle: motosikal, motorcycles, sepeda motor
bus: bas, buses
lorry: lori, lorries, truck, trucks, truk
petrol: gasoline, bensin
electricity: elektrik, listrik
gas: gases
water: air
rainfall: rain fell, hujan, curah hujan, rain, rained, niederschlag, lluvia, precipitacion
temperature: suhu, temp, hot, cold, warm, temperatur, temperatura
humidity: humid, kelembapan, kelembaban, luftfeuchtigkeit, feuchtigkeit, humedad
wind: angin, winds
registration: registrations, registered, pendaftaran, didaftarkan, berdaftar
loan: loans, pinjaman
tourist: tourists, pelancong, wisatawan
visitor: visitors, visited, visits, visit, lawatan, kunjungan, pelawat, besucher, visitantes
palm oil: minyak sawit, kelapa sawit
rubber: getah, karet
rice: beras
chicken: ayam
egg: eggs, telur
fish: ikan
beef: daging lembu
sugar: gula
milk: susu
bread: roti
vegetable: vegetables, sayur, sayuran, sayur sayuran
fruit: fruits, buah, buahan, buah buahan
meat: daging
oil: minyak
percentage: percent, pct, peratus, peratusan, persen, persentase, proportion, share, per cent, nisbah, kadaran
rate: kadar
size: saiz, ukuran
weight: berat, weighs, weigh, wt, gewicht
height: ketinggian, ht, hohe, altura
quantity: kuantiti, kuantitas, qty, menge, cantidad
horsepower: hp
department: jabatan, dept, departments, abteilung, departamento
code: kod, codes, kode
digit: digits
minimum: min, minima, lowest, terendah
maximum: max, maksimum, highest, strongest, peak, tertinggi
kg: kilo, kilos, kilogram, kilograms, kilogramme
litre: liter, litres, liters
exchange: pertukaran, kurs, tukaran
sale: sales, ventas, jualan, penjualan, verkaufe
employee: employees, staff, pekerja, kakitangan, mitarbeiter, empleado, empleados
customer: customers, client, clients, pelanggan, langganan, kunde, kunden, cliente, clientes
patient: patients, pesakit, pasien, patienten, paciente, pacientes
manager: managers, pengurus, gerente, leiter
author: authors, penulis, autor
borrower: borrowers, peminjam
supplier: suppliers, pembekal, pemasok, lieferant, proveedor
product: products, produk, produkt, produkte, producto, productos
shop: shops, store, stores, kedai, toko, tienda, tiendas, filiale
order: orders, ordered, pesanan, tempahan, bestellung, bestellungen, pedido, pedidos
item: items, barang, artikel, articulo
brand: brands, jenama, merek, marke, marca
stock: stok, bestand, existencias
fee: fees, yuran
point: points, pts
mark: marks, markah
expiry: luput, expires, expire, expired, kedaluwarsa, kadaluarsa
fare: fares, tambang
train: trains, kereta api, keretapi, tren, zug
flight: flights, penerbangan, vuelo, vuelos
region: regions, wilayah, kawasan, rantau
match: matches, perlawanan, pertandingan
team: teams, pasukan, tim
home: tuan rumah
goal: goals, gol
referee: referees, pengadil, wasit
attendance: attendances, kehadiran, penonton, spectators
driver: drivers, pemandu, supir, sopir
warehouse: warehouses, gudang
category: categories, kategori
fuel: bahan api, bahan bakar
distance: jarak
duration: tempoh, durasi
discount: discounts, diskaun, diskon
profit: profits, keuntungan, laba
payment: payments, paid, bayaran, pembayaran
treatment: treatments, rawatan
diagnosis: diagnoses, diagnosa
station: stations, stesen, stasiun
ticket: tickets, tiket
room: rooms, bilik, kamar
guest: guests, tetamu, tamu
booking: bookings, booked
night: nights, malam
branch: branches, cawangan, cabang
claim: claims, tuntutan, klaim
address: addresses, alamat
business: businesses, perniagaan, perusahaan
"""

#: Who does what: the words for the one who does it, as columns are called, and the verbs.
DOERS = """
author writer penulis autor verfasser escritor: wrote written write writes menulis ditulis schrieb geschrieben escribio
borrower peminjam kunde customer: returned return returns dipulangkan memulangkan
borrower peminjam: borrowed borrow borrows borrowing meminjam dipinjam ausgeliehen lieh entliehen prestado
supplier vendor provider pembekal lieferant proveedor: supplies supplied supply provides provided provide
supplier vendor provider pembekal lieferant proveedor: membekalkan dibekalkan
supplier vendor lieferant proveedor: liefert geliefert suministra
customer buyer client purchaser pelanggan pembeli kunde cliente comprador: bought buys buy purchased ordered membeli
customer buyer client purchaser pelanggan pembeli kunde cliente comprador: order purchase
customer buyer client purchaser pelanggan pembeli kunde cliente comprador: dibeli memesan kaufte gekauft bestellt compro
seller salesperson vendor penjual verkaufer vendedor: sold sells sell menjual dijual verkauft vendio
teacher instructor tutor lecturer guru lehrer profesor: taught teaches teach mengajar unterrichtet ensena
manager head supervisor director leader boss pengurus leiter gerente: manages managed manage runs ran leads led heads
manager head supervisor director leader boss pengurus leiter gerente: headed menguruskan leitet leitete dirige
owner pemilik besitzer eigentumer dueno: owns owned own memiliki besitzt
doctor physician surgeon arzt medico: treated treats treat saw sees seen examined merawat behandelte behandelt
director regisseur: directed directs
driver pemandu fahrer: drove drives driven memandu fahrt
adjuster agent officer handler assessor pegawai: handled handles handle processed assessed
winner champion pemenang sieger: won wins memenangi gewann
airline carrier operator: operates operated
composer: composed
artist painter: painted
photographer: photographed
architect: designed
inventor: invented
founder: founded
publisher: published publishes
donor: donated
scorer: scored
"""

#: What is done, when, where or for how much: words of columns, and the verbs that ask for them.
VERBS = """
departure departures departs depart departing dep std etd leaves leaving berlepas bertolak: leave leaves leaving left
departure departures departs depart departing dep std etd leaves leaving berlepas bertolak: depart departs departed
departure departures departs depart departing dep std etd leaves leaving berlepas bertolak: departing bertolak berlepas
arrival arrivals arrives arrive arriving arr sta eta tiba ketibaan: arrive arrives arrived arriving tiba reach reaches
arrival arrivals arrives arrive arriving arr sta eta tiba ketibaan: reached sampai land lands landed
destination to dest destinasi tujuan: go goes going bound head heads headed fly flies travel travels menuju pergi
destination to dest destinasi tujuan: arrive arrives arrived arriving tiba reach reaches reached land lands landed
origin from asal dari: come comes coming came datang berasal leave leaves leaving left depart departs departed departing
origin from asal dari: bertolak berlepas berangkat
salary wage pay gaji remuneration: earn earns earned earning bergaji
price fare fee fees harga tambang yuran: cost costs costing
join joined hired hire employed start started: join joins joined hired start starts started begin began menyertai mula
day days frequency hari: run runs operate operates beroperasi
venue stadium location ground place lokasi tempat: play plays played held hold takes took
location city town address site location lokasi bandar alamat: live lives lived located based situated tinggal
job position occupation role designation profession jawatan pekerjaan: do does did
"""
